"""Dotted settings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.sweeps.resolve import Run
from toolrl_cli.spec.sweeps.settings import apply, flatten, matches


def test_nested_and_dotted_spellings_flatten_to_the_same() -> None:
    assert flatten({"rl": {"steps": 5, "lr": 1.0}}) == flatten({"rl.steps": 5, "rl.lr": 1.0})


def test_a_reward_mapping_is_one_setting() -> None:
    reward = {"components": {"format": {"kind": "format"}}}
    assert flatten({"reward": reward}) == {"reward": reward}


def test_a_model_mapping_that_stands_for_itself_replaces_and_a_partial_one_changes_fields() -> None:
    assert flatten({"model": {"kind": "tiny", "seed": 1}}) == {"model": {"kind": "tiny", "seed": 1}}
    assert flatten({"model": {"seed": 1}}) == {"model.seed": 1}


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
