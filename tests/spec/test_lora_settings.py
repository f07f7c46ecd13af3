"""`lora:` in a sweep: whose stages it changes, and how they are called."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.spec.conftest import FixedFacts
from toolrl_cli.errors import SpecError
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps.resolve import Run

Resolve = Callable[..., list[Run]]
SWEEP = "name: s\nbase: {preset: tiny_grpo, train: [sft, rl]}\nevaluate: [toolworld]\n"
ARMS = "name: s\nbase: {preset: tiny_grpo}\narms: {full: {rl.steps: 2}, lora: {lora.rank: 4}}\nevaluate: [toolworld]\n"


def chain(resolve: Resolve, facts: FixedFacts, *sets: str) -> list[StageSpec]:
    (run,) = resolve(SWEEP, *sets)
    return run_stages(run.spec, facts)


def test_null_is_no_setting_at_all(resolve: Resolve, facts: FixedFacts) -> None:
    assert chain(resolve, facts, "lora=null") == chain(resolve, facts)
    assert not any("lora" in {**stage.identity, **stage.config} for stage in chain(resolve, facts))


def test_both_trainings_of_an_arm_get_adapters_and_the_tiny_model_s_own_pretraining_none(
    resolve: Resolve, facts: FixedFacts
) -> None:
    plain, adapted = chain(resolve, facts), chain(resolve, facts, "lora.rank=8")
    assert [s.id for s in adapted[:2]] == [s.id for s in plain[:2]]
    assert [s.identity.get("lora") for s in adapted if s.kind in ("sft", "rl")] == [
        None,
        *[{"rank": 8, "alpha": 16, "target_modules": "all-linear", "exclude_modules": []}] * 2,
    ]
    assert [s.id.rsplit("-", 1)[0] for s in adapted[2::2]] == [
        "tiny-sft-lora8-s1",
        "grpo-tiny-sft-lora8-original-s1",
        "toolworld-grpo-tiny-sft-lora8-original-s1",
    ]


@pytest.mark.parametrize("setting", ["lora.rank=4", "lora.alpha=8", "lora.target_modules=[q_proj]"])
def test_each_setting_is_another_training(resolve: Resolve, facts: FixedFacts, setting: str) -> None:
    one = chain(resolve, facts, "lora.rank=8")
    other = chain(resolve, facts, "lora.rank=8", setting)
    assert one[2].id != other[2].id and one[4].id != other[4].id


def test_the_order_of_modules_is_none_of_the_training(resolve: Resolve, facts: FixedFacts) -> None:
    one, other = (
        chain(resolve, facts, "lora.rank=8", f"lora.target_modules={names}")
        for names in ("[q_proj, v_proj]", "[v_proj, q_proj, v_proj]")
    )
    assert [s.id for s in one] == [s.id for s in other]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("lora.alpha=8", "rank"),
        ("lora.rank=0", "greater than 0"),
        ("lora.rank=1024", "512"),
        ("lora={rank: 8, target_modules: []}", "lora.target_modules"),
        ("lora={rank: 8, target_modules: q_proj}", "lora.target_modules"),
        ("lora.rnk=8", "did you mean 'rank'"),
    ],
)
def test_a_mistake_is_told_with_its_place(resolve: Resolve, setting: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        resolve(SWEEP, setting)
    assert "lora" in str(caught.value) and told in str(caught.value)


def test_conditions_tell_arms_with_adapters_from_those_without(resolve: Resolve) -> None:
    def left(condition: str, text: str = ARMS) -> list[str]:
        return [run.arm for run in resolve(f"{text}exclude: [{condition}]\n")]

    assert left("{lora: null}") == ["lora"]
    assert left("{lora.rank: 4}") == ["full"]
    off = ARMS.replace("preset: tiny_grpo", "preset: tiny_grpo, lora.rank: 8").replace(
        "{rl.steps: 2}", "{lora: null}"
    )
    assert left("{lora: null}", off) == ["lora"]
    assert left("{lora.rank: 4}", off) == ["full"]
    assert left("{lora.rank: [4, 9]}", off) == ["full"]
