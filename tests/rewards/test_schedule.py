"""Schedules of weights, ranges and targets."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.rewards.schedule import Schedule, parse_schedule


def values(raw: dict[str, Any], *steps: int, total: int | None = None, width: int = 1) -> list[float]:
    schedule = parse_schedule(raw, "weight", width)
    return [schedule.at(step, total)[0] for step in steps]


def test_a_constant_is_the_same_at_every_step() -> None:
    assert values({"kind": "constant", "value": 2}, 0, 7, 1000) == [2, 2, 2]


def test_a_step_holds_before_and_after_its_step() -> None:
    assert values({"kind": "step", "at": 30, "from": 1, "to": 0.5}, 0, 29, 30, 31, 400) == [
        1,
        1,
        0.5,
        0.5,
        0.5,
    ]


def test_a_linear_schedule_passes_evenly_and_stops() -> None:
    assert values({"kind": "linear", "until": 100, "from": 2, "to": 1}, 0, 50, 100, 150) == [2, 1.5, 1, 1]


def test_a_schedule_that_starts_later_holds_its_first_value_until_then() -> None:
    raw = {"kind": "linear", "start": 50, "until": 100, "from": 2, "to": 1}
    assert values(raw, 0, 50, 75, 100) == [2, 2, 1.5, 1]


def test_a_cosine_schedule_leaves_and_arrives_flat() -> None:
    got = values({"kind": "cosine", "until": 100, "from": 0, "to": 1}, 0, 25, 50, 75, 100, 120)
    assert got == pytest.approx([0, (1 - math.sqrt(0.5)) / 2, 0.5, (1 + math.sqrt(0.5)) / 2, 1, 1])


def test_a_share_counts_the_run_s_own_length() -> None:
    raw = {"kind": "linear", "unit": "share", "until": 1, "from": 0, "to": 1}
    assert values(raw, 0, 50, 200, total=100) == [0, 0.5, 1]
    assert values(raw, 50, total=200) == [0.25]


def test_many_points_make_a_broken_line() -> None:
    raw = {"kind": "linear", "points": [[0, 0], [10, 1], [20, 0]]}
    assert values(raw, 0, 5, 10, 15, 20, 30) == [0, 0.5, 1, 0.5, 0, 0]


def test_an_extrapolated_line_goes_on() -> None:
    raw = {"kind": "linear", "until": 10, "from": 0, "to": 1, "extrapolate": True}
    assert values(raw, 5, 10, 40) == [0.5, 1, 4]


def test_an_extrapolated_share_ends_with_the_run() -> None:
    raw = {"kind": "linear", "unit": "share", "until": 0.5, "from": 0, "to": 1, "extrapolate": True}
    assert values(raw, 5, 10, 20, total=10) == [1, 2, 2]


def test_points_that_start_late_hold_their_first_value() -> None:
    assert values({"kind": "step", "points": [[5, 1], [9, 2]]}, 0, 5, 9) == [1, 1, 2]


def test_a_share_without_a_total_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(
        RewardError, match=r"total_steps is None \(pass total_steps, or write .* unit: steps\)"
    ):
        get_reward("dynamic@paper").score("", "", step=1)
    with pytest.raises(RewardError, match="total_steps is 0"):
        get_reward("dynamic@paper").score("", "", step=1, total_steps=0)


REFUSED: list[tuple[Any, str]] = [
    (3, "^w: a schedule is a mapping, not 3"),
    ({"kind": "liner"}, r"^w.kind: 'liner' is no kind of schedule \(did you mean 'linear'\?\)"),
    ({"kind": "linear", "unit": "epochs"}, "^w.unit: 'epochs' is no unit of steps"),
    ({"kind": "linear", "untill": 3, "from": 1, "to": 2}, "^w.untill: 'untill' is not known here .*'until'"),
    ({"kind": "linear", "from": 1, "to": 2}, "^w: linear needs 'until'"),
    ({"kind": "linear", "until": 3, "from": 1}, "^w: linear needs 'to'"),
    ({"kind": "step", "from": 1, "to": 2}, "^w: step needs 'at'"),
    ({"kind": "constant"}, "^w: constant needs 'value'"),
    (
        {"kind": "linear", "until": 0.5, "from": 1, "to": 2},
        "^w: 0.5 is no whole number of steps .*unit: share",
    ),
    ({"kind": "linear", "until": True, "from": 1, "to": 2}, "^w: True is no whole number"),
    ({"kind": "linear", "until": -1, "from": 1, "to": 2}, "^w: -1 is no whole number"),
    ({"kind": "linear", "until": 0, "from": 1, "to": 2}, r"^w: positions must rise, and are \[0, 0\]"),
    ({"kind": "linear", "unit": "share", "until": 30, "from": 1, "to": 2}, "^w: 30 is no share of a run"),
    ({"kind": "linear", "until": 3, "from": "1", "to": 2}, "^w: '1' is no finite number"),
    ({"kind": "linear", "until": 3, "from": float("inf"), "to": 2}, "^w: inf is no finite number"),
    ({"kind": "linear", "points": []}, "^w.points: points are a list of"),
    ({"kind": "linear", "points": [[0, 1, 2]]}, "^w.points: points are a list of"),
    ({"kind": "linear", "points": [[0, 1]]}, "^w: linear needs two points"),
    ({"kind": "constant", "points": [[5, 1], [10, 3]]}, "^w: constant has one value, and these are 2"),
    (
        {"kind": "cosine", "until": 3, "from": 1, "to": 2, "extrapolate": True},
        "^w.extrapolate: True does not fit",
    ),
    ({"kind": "linear", "until": 3, "from": 1, "to": 2, "extrapolate": 1}, "^w.extrapolate: 1 does not fit"),
]


@pytest.mark.parametrize(("raw", "message"), REFUSED, ids=[message[1:30] for _, message in REFUSED])
def test_a_wrong_schedule_is_refused_at_its_key(raw: Any, message: str) -> None:
    with pytest.raises(RewardError, match=message):
        parse_schedule(raw, "w", 1)


@pytest.mark.parametrize("value", [1, [1], [2, 1]])
def test_a_range_is_low_and_high(value: Any) -> None:
    with pytest.raises(RewardError, match="range"):
        parse_schedule({"kind": "constant", "value": value}, "w", 2)


steps = st.integers(0, 2000)
shapes = st.sampled_from(["step", "linear", "cosine"])
points = st.lists(st.integers(0, 1000), min_size=2, max_size=5, unique=True).map(sorted)


@given(kind=shapes, places=points, step=steps, later=steps)
def test_a_schedule_between_rising_values_never_falls(
    kind: str, places: list[int], step: int, later: int
) -> None:
    schedule = Schedule(kind, "steps", tuple((at, (float(i),)) for i, at in enumerate(places)))
    first, second = sorted((step, later))
    assert schedule.at(first) <= schedule.at(second)
    assert 0 <= schedule.at(first)[0] <= len(places) - 1


@given(kind=shapes, places=points, ends=st.lists(st.floats(-9, 9), min_size=5, max_size=5))
def test_a_schedule_has_its_values_at_its_points_and_reads_back(
    kind: str, places: list[int], ends: list[float]
) -> None:
    schedule = Schedule(kind, "steps", tuple((at, (end,)) for at, end in zip(places, ends, strict=False)))
    assert [schedule.at(int(at))[0] for at, _ in schedule.points] == pytest.approx(
        [end for _, (end,) in schedule.points]
    )
    assert parse_schedule(schedule.to_dict(), "w", 1) == schedule


@given(
    name=st.sampled_from(["two_stage", "dynamic", "length_dynamic", "dynamic@paper"]), cut=st.integers(0, 105)
)
def test_scales_at_a_step_are_the_same_with_and_without_an_interruption_before_it(
    name: str, cut: int
) -> None:
    whole = get_reward(name)
    uninterrupted = [whole.part_ranges(step, 105) for step in range(106)]
    resumed = get_reward(whole.to_dict())  # as a new process makes it
    assert [resumed.part_ranges(step, 105) for step in range(cut, 106)] == uninterrupted[cut:]
