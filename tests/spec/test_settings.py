"""Dotted settings."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.sweeps.resolve import Run
from toolrl_cli.spec.sweeps.schema import sweep_schema
from toolrl_cli.spec.sweeps.settings import apply, flatten, matches


def test_nested_and_dotted_spellings_flatten_to_the_same() -> None:
    assert flatten({"rl": {"steps": 5, "lr": 1.0}}) == flatten({"rl.steps": 5, "rl.lr": 1.0})


def test_a_reward_mapping_is_one_setting() -> None:
    reward = {"components": {"format": {"kind": "format"}}}
    assert flatten({"reward": reward}) == {"reward": reward}


def test_a_model_mapping_that_stands_for_itself_replaces_and_a_partial_one_changes_fields() -> None:
    assert flatten({"model": {"kind": "tiny", "seed": 1}}) == {"model": {"kind": "tiny", "seed": 1}}
    assert flatten({"model": {"seed": 1}}) == {"model.seed": 1}


OF_A_REWARD = ("fidelity", "clamp", "reading")
WHOLES = ("model.kind", "data.kind")  # nested, they make a mapping one that stands for itself
EVERY_SETTING = [
    *(k for k in sweep_schema()["$defs"]["Settings"]["properties"] if "." in k and k not in WHOLES),
    *(f"reward.{part}" for part in OF_A_REWARD),
]


@pytest.mark.parametrize("key", EVERY_SETTING)
def test_every_setting_means_the_same_nested_and_dotted(key: str) -> None:
    for value in (1, {"weight": {"kind": "step", "at": 3}}):
        spelt: list[dict[str, object]] = []
        for joints in itertools.product((True, False), repeat=key.count(".")):
            *outer, last = key.split(".")
            nested: dict[str, object] = {last: value}
            for part, dotted in zip(reversed(outer), joints, strict=True):
                nested = {f"{part}.{k}": v for k, v in nested.items()} if dotted else {part: nested}
            spelt.append(nested)
        assert all(flatten(each) == flatten(spelt[0]) for each in spelt)


@pytest.mark.parametrize("setting", ["reward.fidelity: paper", "model.name: mine"])
def test_a_dotted_setting_trains_what_the_nested_one_does(
    setting: str, resolve: Callable[..., list[Run]]
) -> None:
    base = "name: s\nbase: {preset: tiny_grpo, model: tiny_base, data: {kind: toolworld, val: 7}, "
    base += "reward: {name: dynamic, fidelity: released}}\n"
    block, _, rest = setting.partition(".")
    (dotted,) = resolve(f"{base}arms: {{a: {{{setting}}}}}\n")
    (nested,) = resolve(f"{base}arms: {{a: {{{block}: {{{rest}}}}}}}\n")
    assert dotted == nested
    (given,) = resolve(base, setting.replace(": ", "=", 1))
    assert given.spec == nested.spec


@pytest.mark.parametrize("place", ["base", "arm", "set", "set base"])
def test_components_that_may_be_all_or_some_more_are_refused_with_how_to_write_each(
    place: str, resolve: Callable[..., list[Run]]
) -> None:
    part = "{brief: {kind: length, weight: 0.1}}"
    base = "reward: original" if place != "base" else f"reward.components: {part}"
    text = f"name: s\nbase: {{preset: tiny_grpo, {base}}}\n"
    text += f"arms: {{a: {{reward.components: {part}}}}}\n" if place == "arm" else ""
    given = {"set": f"reward.components={part}", "set base": f"base.reward.components={part}"}
    with pytest.raises(SpecError, match=r"all components, or some more\? \(write reward: {components: {…}}"):
        resolve(text, *([given[place]] if place in given else []))
    whole, more = (
        resolve(f"name: s\nbase: {{preset: tiny_grpo, reward: original}}\narms: {{a: {{{setting}}}}}\n")[0]
        for setting in (f"reward: {{components: {part}}}", f"reward.components.brief: {part[8:-1]}")
    )
    assert [*whole.spec.reward["components"]] == ["brief"]
    assert {"brief", "correctness"} <= {*more.spec.reward["components"]}


def test_a_dotted_kind_or_name_changes_that_one_setting(resolve: Callable[..., list[Run]]) -> None:
    base = "name: s\nbase: {preset: tiny_grpo, reward: {name: coarse, fidelity: paper}}\n"
    (before,) = resolve(base)
    (after,) = resolve(
        f"{base}arms: {{a: {{model.kind: tiny, data.kind: toolworld, reward.name: original}}}}\n"
    )
    assert (after.spec.model, after.spec.data) == (before.spec.model, before.spec.data)
    (whole,) = resolve("name: s\nbase: {preset: tiny_grpo, reward: {name: original, fidelity: paper}}\n")
    assert after.spec.reward == whole.spec.reward


def test_a_component_or_a_schedule_that_stands_for_itself_replaces_and_a_field_is_changed(
    resolve: Callable[..., list[Run]],
) -> None:
    text = (
        "name: s\nbase: {preset: tiny_grpo, reward: {components: {correctness: {}, format: {weight: 2}}}}\n"
    )
    schedule = "{kind: linear, start: 2, until: 4, from: 1, to: 3}"
    text += f"arms: {{a: {{reward.components.format.weight: {schedule}}}, "
    text += "b: {reward.components.format: {kind: format}}}\n"
    a, b = (run.spec.reward["components"]["format"]["weight"] for run in resolve(text))
    assert a["points"] == [[2, 1.0], [4, 3.0]] and b == 1.0
    assert flatten({"reward.components.format": {"weight": 3}}) == {"reward.components.format.weight": 3}


def test_a_condition_may_be_nested_or_dotted(resolve: Callable[..., list[Run]]) -> None:
    text = "name: s\nbase: {preset: tiny_grpo}\naxes: {rl.steps: [5, 10], model: [tiny_base, ./m]}\n"
    for condition in ("model.name: m", "model: {name: m}"):
        runs = resolve(f"{text}exclude: [{{{condition}}}]\n")
        assert [run.arm for run in runs] == ["steps-5-tiny-base", "steps-10-tiny-base"]


def test_two_spellings_of_one_key_are_refused() -> None:
    with pytest.raises(SpecError, match="set twice"):
        flatten({"rl": {"steps": 5}, "rl.steps": 6})


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(SpecError, match="empty part"):
        flatten({"rl..steps": 5})


def test_verl_options_below_verl_rl_stay_one_key() -> None:
    target: dict[str, object] = {}
    apply(flatten({"verl.rl.actor_rollout_ref.actor.ppo_epochs": 2}), target)
    assert target == {"verl": {"rl": {"actor_rollout_ref.actor.ppo_epochs": 2}}}


def test_a_condition_matches_a_value_or_any_of_a_list() -> None:
    assert matches({"reward": ["coarse", "original"]}, {"reward": "coarse"})
    assert matches({"train": ["rl"]}, {"train": ["rl"]})
    assert not matches({"reward": "coarse"}, {"reward": "original"})
    assert not matches({"reward": "coarse"}, {})


@pytest.mark.parametrize(
    "base", ["{preset: tiny_grpo, rl.steps: 7}", "{preset: tiny_grpo, rl: {steps: 7}}", "{preset: tiny_grpo}"]
)
def test_set_finds_a_key_of_the_file_however_the_file_spells_it(
    base: str, resolve: Callable[..., list[Run]]
) -> None:
    text = f"name: s\nbase: {base}\nevaluate: [toolworld]\n"
    (run,) = resolve(text, "base.rl.steps=9")
    assert run.spec.rl.steps == 9
