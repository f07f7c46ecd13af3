"""What makes two stages the same stage."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.spec.conftest import FixedFacts
from toolrl_cli.errors import SpecError
from toolrl_cli.spec.identity import VERSION, canonical_json, digest, slugify, stage_id, value_slug
from toolrl_cli.spec.run.training_settings import RlSpec
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps.resolve import Run

Resolve = Callable[..., list[Run]]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
HEAD = "name: s\nbase: {preset: tiny_grpo}\nevaluate: [toolworld]\n"


def chain(runs: list[Run], facts: FixedFacts) -> list[StageSpec]:
    (run,) = runs
    return run_stages(run.spec, facts)


def test_the_id_function_is_pinned_by_a_literal() -> None:
    assert (
        stage_id("rl", "GRPO tiny/coarse", {"b": 1.0, "a": [1, None]}, {"model": "x"})
        == "grpo-tiny-coarse-14f9c5b7d7"
    )


def test_canonical_json_does_not_depend_on_order_and_refuses_nan() -> None:
    assert canonical_json({"b": 1, "a": 2}) == canonical_json({"a": 2, "b": 1}) == '{"a":2,"b":1}'
    with pytest.raises(ValueError, match="Out of range"):
        digest({"x": float("nan")})


@given(
    st.dictionaries(st.text(max_size=5), JSON, max_size=5),
    st.dictionaries(st.text(max_size=5), st.text(max_size=9)),
)
def test_an_id_is_the_hash_of_all_that_it_names(identity: dict[str, object], inputs: dict[str, str]) -> None:
    body = {"version": VERSION, "kind": "rl", "identity": identity, "inputs": inputs}
    assert stage_id("rl", "x", identity, inputs) == f"x-{digest(body)}"


def test_a_cold_start_goes_from_the_base_model_through_rl_to_the_benchmark(
    resolve: Resolve, facts: FixedFacts
) -> None:
    stages = chain(resolve(HEAD), facts)
    assert [s.kind for s in stages] == ["sft", "export", "rl", "export", "evaluate"]
    for before, after in pairwise(stages):
        assert before.id in after.inputs.values()


def test_a_raw_model_is_only_evaluated(resolve: Resolve, facts: FixedFacts) -> None:
    text = HEAD.replace("tiny_grpo", "tiny_grpo, train: [], model: qwen2.5-3b-instruct")
    (stage,) = chain(resolve(text), facts)
    assert stage.kind == "evaluate" and stage.inputs == {}


@pytest.mark.parametrize(
    "setting",
    ["rl.save_every=3", "rl.micro_batch=4", "rl.keep_checkpoints=9", "resources.gpus=2", "resources.device=cpu",
     "resources.nodes=2", "resources.priority=7", "sft.lr=0.5", "name=other"],
)  # fmt: skip
def test_transport_and_unused_settings_change_no_id(
    resolve: Resolve, facts: FixedFacts, setting: str
) -> None:
    ids = [s.id for s in chain(resolve(HEAD), facts)]
    assert [s.id for s in chain(resolve(HEAD, setting), facts)] == ids


def test_a_training_has_the_slots_of_all_its_nodes_and_an_evaluation_one(
    resolve: Resolve, facts: FixedFacts
) -> None:
    stages = chain(resolve(HEAD, "resources.nodes=3", "resources.gpus=2"), facts)
    assert [(s.kind, s.slots, s.nodes) for s in stages] == [
        *(("sft", 6, 3), ("export", 1, 1), ("rl", 6, 3), ("export", 1, 1), ("evaluate", 1, 1))
    ]
    assert [StageSpec.from_json(stage.to_json()) for stage in stages] == stages
    assert not any("nodes" in stage.to_json() for stage in chain(resolve(HEAD), facts))


@pytest.mark.parametrize(
    "setting",
    ["rl.lr=0.5", "rl.steps=9", "reward=coarse", "algorithm=ppo", "seeds=[2]", "precision=bf16",
     "verl.rl.trainer.nnodes=2"],
)  # fmt: skip
def test_what_changes_the_result_changes_the_rl_stage_and_leaves_the_base_alone(
    resolve: Resolve, facts: FixedFacts, setting: str
) -> None:
    before = chain(resolve(HEAD), facts)
    after = chain(resolve(HEAD, setting), facts)
    assert after[2].id != before[2].id
    assert after[4].id != before[4].id
    if not setting.startswith("precision"):
        assert [s.id for s in after[:2]] == [s.id for s in before[:2]]


@pytest.mark.parametrize("spelling", ["+actor.x", "++actor.x", "actor.x", "actor={x: 5}"])
def test_a_spelling_of_an_option_changes_no_id(resolve: Resolve, facts: FixedFacts, spelling: str) -> None:
    setting = spelling if "=" in spelling else f"{spelling}=5"
    plain = [s.id for s in chain(resolve(HEAD, "verl.rl.actor.x=5"), facts)]
    assert [s.id for s in chain(resolve(HEAD, f"verl.rl.{setting}"), facts)] == plain
    assert plain != [s.id for s in chain(resolve(HEAD, "verl.rl.~actor.x=5"), facts)]


def test_two_values_of_one_option_are_refused(resolve: Resolve, facts: FixedFacts) -> None:
    with pytest.raises(SpecError, match=r"'actor.x' is set twice, to 5 and 6 \(keep one spelling"):
        chain(resolve(HEAD, "verl.rl.actor.x=5", "verl.rl.+actor.x=6"), facts)


def test_an_arm_s_options_of_sft_leave_the_tiny_model_s_pretraining_alone(
    resolve: Resolve, facts: FixedFacts
) -> None:
    both = HEAD.replace("tiny_grpo", "tiny_grpo, train: [sft, rl]")
    plain, other = (
        chain(resolve(both, *sets), facts) for sets in ((), ("verl.sft.optim.lr_scheduler_type=linear",))
    )
    assert [a.id == b.id for a, b in zip(plain, other, strict=True)] == [True, True] + [False] * 5
    assert other[0].config["verl_options"] == {}


def test_a_precision_that_the_device_has_not_is_no_part_of_an_id(
    resolve: Resolve, facts: FixedFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    fp32 = chain(resolve(HEAD), facts)
    monkeypatch.setattr(facts, "precision", lambda run: "fp32")
    on_cpu = chain(resolve(HEAD, "precision=bf16"), facts)
    assert [s.id for s in on_cpu] == [s.id for s in fp32]
    told = [(s.config["precision"], s.config["asked_precision"]) for s in on_cpu if s.kind != "export"]
    assert told == [("fp32", "bf16")] * 3
    assert "asked_precision" not in fp32[0].config


def test_the_order_of_sft_s_rows_is_part_of_its_identity_and_not_of_the_tiny_model_s_own_pretraining(
    resolve: Resolve, facts: FixedFacts
) -> None:
    pretrained, _, tuned, *_ = chain(resolve(HEAD, "train=[sft]"), facts)
    assert tuned.identity["shuffle"] == tuned.config["shuffle"] == "seed"
    assert "shuffle" not in {**pretrained.identity, **pretrained.config}


def test_a_reward_s_label_changes_no_id(resolve: Resolve, facts: FixedFacts) -> None:
    by_name = chain(resolve(HEAD), facts)
    by_axes = chain(resolve(HEAD, "reward={granularity: original}"), facts)
    assert [s.id for s in by_name][2].rsplit("-", 1)[1] == [s.id for s in by_axes][2].rsplit("-", 1)[1]


def test_a_stage_survives_its_json(resolve: Resolve, facts: FixedFacts) -> None:
    for stage in chain(resolve(HEAD), facts):
        assert StageSpec.from_json(stage.to_json()) == stage


def test_a_slug_that_is_cut_short_ends_with_a_letter_or_digit() -> None:
    assert slugify(f"{'a' * 47}-b") == slugify(f"{'a' * 47}.b") == "a" * 47


def test_slugs_are_safe_in_paths() -> None:
    assert slugify("../../etc/passwd") == "etc-passwd"
    assert slugify("") == "x"
    assert value_slug(1e-6) == "1e-06"
    assert value_slug(True) == "on"
    assert value_slug(["sft", "rl"]) == "sft-rl"
    assert value_slug([]) == "none"


def test_a_copy_with_another_value_has_another_identity():
    settings = RlSpec()
    assert settings.identity()["lr"] == 1e-6
    assert settings.model_copy(update={"lr": 1e-3}).identity()["lr"] == 1e-3
    assert settings.identity()["lr"] == 1e-6


def test_what_is_done_to_an_identity_stays_out_of_the_settings():
    settings = RlSpec()
    settings.identity().clear()
    assert settings.identity() == RlSpec().identity() != {}
