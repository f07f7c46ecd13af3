"""A reward moved to a run of another length."""

from __future__ import annotations

import pytest

from toolrl_cli.rewards import get_reward
from toolrl_cli.rewards.stretch import still_ahead, stretched, unfinished

CALL = '<think>x</think>\n<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call>'


def test_the_two_stages_change_over_at_the_same_share_of_a_shorter_run() -> None:
    reward = stretched(get_reward("two_stage"), 105, 25)
    totals = [reward.score(CALL, CALL, step).total for step in range(26)]
    assert totals[:7] == [pytest.approx(2.0)] * 7  # 30 of 105 is 7 of 25
    assert totals[7:] == [3.5] * 19


@pytest.mark.parametrize("name", ["dynamic", "length_dynamic", "finegrained+dynamic"])
def test_a_ramp_is_as_far_at_the_end_of_the_short_run_as_at_the_end_of_the_long_one(name: str) -> None:
    before, after = get_reward(name), stretched(get_reward(name), 105, 21)
    for share in range(8):
        long, short = before.score(CALL, CALL, share * 15), after.score(CALL, CALL, share * 3)
        assert short.total == pytest.approx(long.total, abs=1e-9)


def test_points_stay_apart_however_short_the_run() -> None:
    reward = stretched(get_reward("dynamic"), 150, 1)
    assert get_reward(reward.to_dict()).score(CALL, CALL, 5).total == pytest.approx(4.0)


def test_what_counts_no_steps_stays_as_it_is() -> None:
    for name in ("original", "equal_max", "coarse", "length", "dynamic@paper"):
        reward = get_reward(name)
        assert stretched(reward, 105, 25) is reward


def test_it_has_a_name_of_its_own_and_can_be_read_back() -> None:
    reward = stretched(get_reward("two_stage"), 105, 25)
    assert reward.name == "two_stage-25-steps"
    again = get_reward({"name": reward.name, **reward.to_dict()})
    assert again == reward and again.name == reward.name


def test_what_a_run_has_not_reached_of_a_schedule_is_known() -> None:
    assert still_ahead(get_reward("two_stage"), 25) == (30,)
    assert still_ahead(get_reward("two_stage"), 30) == still_ahead(get_reward("original"), 0) == ()
    share = get_reward({"components": {"format": {"kind": "format", "weight": {
        "kind": "linear", "unit": "share", "until": 0.5, "from": 1, "to": 2}}}})  # fmt: skip
    assert still_ahead(share, 10, 25) == (13,) and still_ahead(share, 13, 25) == still_ahead(share, 10) == ()


@pytest.mark.parametrize(
    ("weight", "ends_before"),
    [
        ({"kind": "step", "at": 25, "from": 1, "to": 2}, False),
        ({"kind": "step", "at": 26, "from": 1, "to": 2}, True),
        ({"kind": "step", "unit": "share", "at": 1, "from": 1, "to": 2}, False),
        ({"kind": "linear", "until": 50, "from": 1, "to": 2}, False),  # half of it
        ({"kind": "linear", "until": 51, "from": 1, "to": 2}, True),
        ({"kind": "linear", "until": 51, "from": 1, "to": 2, "extrapolate": True}, False),
        ({"kind": "cosine", "start": 25, "until": 26, "from": 1, "to": 2}, True),
        ({"kind": "constant", "value": 2}, False),
    ],
)
def test_a_change_that_a_run_never_comes_to_is_known(weight: dict[str, object], ends_before: bool) -> None:
    reward = get_reward({"components": {"form": {"kind": "format", "weight": weight}}})
    assert [key for key, _ in unfinished(reward, 25)] == ["form.weight"] * ends_before


def test_the_released_designs_fit_the_papers_run() -> None:
    assert not any(unfinished(get_reward(name), 90) for name in ("two_stage", "dynamic", "length_dynamic"))
    assert [key for key, _ in unfinished(get_reward("dynamic"), 25)] == [
        "format.schedule",
        "correctness.weight",
    ]
