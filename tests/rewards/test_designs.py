"""The paper's designs by name."""

from __future__ import annotations

import itertools
import json

import pytest

from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.rewards.designs import AXES, NAMES, names_by_composition

GRANULARITY = ["finegrained", "intermediate", "coarse"]
SCALE = ["equal_max", "two_stage", "dynamic"]
LENGTH = ["length", "length_dynamic"]
JOINED = [
    "+".join(name for name in chosen if name) or "original"
    for chosen in itertools.product(["", *GRANULARITY], ["", *SCALE], ["", *LENGTH])
]
ALL = [*JOINED, *(f"{name}@paper" for name in JOINED)]


@pytest.mark.parametrize("name", ALL)
def test_every_combination_has_a_name_and_reads_back_from_its_composition(name: str) -> None:
    reward = get_reward(name)
    again = get_reward(json.loads(json.dumps(reward.to_dict())))
    assert again == reward
    assert hash(again) == hash(reward)
    assert again.name == reward.name == name
    assert again.to_dict() == reward.to_dict()


def test_no_two_combinations_are_the_same_reward() -> None:
    assert (
        len({json.dumps(get_reward(name).to_dict()) for name in ALL})
        == len(ALL)
        == len(names_by_composition())
    )


def test_names_may_be_joined_in_any_order() -> None:
    assert get_reward("length+dynamic") == get_reward("dynamic + length")
    assert get_reward("length+dynamic").name == "dynamic+length"


SAME_AXIS = [
    *itertools.combinations(["original", *GRANULARITY], 2),
    *itertools.combinations(["original", *SCALE], 2),
    *itertools.combinations(LENGTH, 2),
    ("coarse", "coarse"),
]


@pytest.mark.parametrize(("first", "second"), SAME_AXIS)
def test_two_names_on_one_axis_are_refused(first: str, second: str) -> None:
    with pytest.raises(RewardError, match=f"'{first}' and '{second}' are both names on the axis"):
        get_reward(f"{first}+{second}")


def test_original_joins_with_a_length() -> None:
    assert get_reward("original+length") == get_reward("length")


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("corse", "coarse"), ("finegrain", "finegrained"), ("two-stage", "two_stage"), ("lenght", "length")],
)
def test_a_wrong_name_is_refused_with_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(
        RewardError, match=rf"^reward: '{wrong}' is no reward design \(did you mean '{near}'\?\)$"
    ):
        get_reward(wrong)


def test_a_name_like_none_is_refused_with_all_names() -> None:
    with pytest.raises(RewardError, match="valid: coarse, dynamic, equal_max"):
        get_reward("xyz")
    with pytest.raises(RewardError, match="'' is no reward design"):
        get_reward("coarse+")


def test_a_wrong_fidelity_is_refused() -> None:
    with pytest.raises(RewardError, match=r"'papper' is no fidelity \(did you mean 'paper'\?\)"):
        get_reward("coarse@papper")


def test_axes_and_names_say_the_same() -> None:
    assert get_reward({"granularity": "coarse", "scale": "dynamic", "length": "static"}) == get_reward(
        "coarse+dynamic+length"
    )
    assert get_reward({"length": "length_dynamic"}) == get_reward("length_dynamic")
    assert get_reward({"length": "none", "fidelity": "paper"}) == get_reward("original@paper")
    for axis, values in AXES.items():
        assert len({get_reward({axis: value}) for value in values}) == len(values)
    assert set(NAMES) == {"original", *GRANULARITY, *SCALE, *LENGTH}


# [least, most] of format and correctness at a step of a run of 100: the paper's formulas, and the code's
RANGES = [
    ("original", 50, (0, 1), (-3, 3)),
    ("equal_max", 50, (0, 1), (-1, 1)),
    ("two_stage", 29, (0, 1), (-1, 1)),
    ("two_stage", 30, (0, 0.5), (-3, 3)),
    ("two_stage@paper", 30, (0, 0.5), (-3, 3)),
    ("dynamic", 0, (-2, 2), (-2, 2)),
    ("dynamic", 75, (-1, 1.5), (-2.5, 2.5)),
    ("dynamic", 105, (-1, 1.3), (-2.7, 2.7)),
    ("dynamic", 150, (-1, 1), (-3, 3)),
    ("dynamic", 999, (-1, 1), (-3, 3)),
    ("dynamic@paper", 0, (-2, 2), (-2, 2)),
    ("dynamic@paper", 50, (-1.5, 1.5), (-2.5, 2.5)),
    ("dynamic@paper", 100, (-1, 1), (-3, 3)),
]


@pytest.mark.parametrize(("name", "step", "form", "correct"), RANGES)
def test_ranges_are_those_of_the_design(
    name: str, step: int, form: tuple[float, float], correct: tuple[float, float]
) -> None:
    ranges = get_reward(name).part_ranges(step, 100)
    assert ranges["format"] == pytest.approx(form)
    assert ranges["correctness"] == pytest.approx(correct)


@pytest.mark.parametrize(
    ("name", "step", "words", "reward"),
    [
        ("length", 0, 256, 0.5),
        ("length", 0, 257, 0.5),
        ("length", 0, 600, 1),
        ("length@paper", 0, 257, 257 / 512),
        ("length_dynamic", 0, 192, 0.5),
        ("length_dynamic", 105, 320, 0.5),
        ("length_dynamic", 210, 448, 0.5),
        ("length_dynamic@paper", 0, 256, 0.5),
        ("length_dynamic@paper", 50, 384, 0.5),
        ("length_dynamic@paper", 100, 512, 0.5),
    ],
)
def test_length_is_words_over_a_target(name: str, step: int, words: int, reward: float) -> None:
    thought = "<think>" + "w " * words + "</think>"
    assert get_reward(name).score(thought, thought, step, 100).parts["length"].weighted == pytest.approx(
        reward
    )


def test_raw_values_are_those_before_a_change_of_scale() -> None:
    gold = '<think> t </think>\n<tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>'
    for step, weights in ((0, (1.0, 1 / 3)), (30, (0.5, 1.0))):
        parts = get_reward("two_stage").score(gold, gold, step).parts
        assert (parts["format"].raw, parts["correctness"].raw) == (1.0, 3.0)
        assert (parts["format"].weight, parts["correctness"].weight) == weights
