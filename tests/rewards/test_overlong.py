"""DAPO's soft punishment of responses that come near the most tokens."""

from __future__ import annotations

from typing import Any

import pytest

from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.rewards.gold import check_gold

TURN = "<think>a</think>\n<response>b</response>"


def overlong(**more: Any) -> dict[str, Any]:
    part = {"kind": "overlong", "max_length": 64, "buffer": 16, **more}
    return {"components": {"format": {}, "long": part}}


@pytest.mark.parametrize(
    ("tokens", "lost"), [(0, 0.0), (48, 0.0), (52, -0.25), (56, -0.5), (64, -1.0), (65, -1.0)]
)
def test_what_is_lost_rises_evenly_over_the_buffer(tokens: int, lost: float) -> None:
    score = get_reward(overlong(weight=2)).score("x", TURN, tokens=tokens)
    assert score.parts["long"].raw == lost and score.parts["long"].weighted == 2 * lost


def test_a_text_alone_is_not_scored_as_a_short_one() -> None:
    with pytest.raises(
        RewardError, match=r"components\.long: the length of the response in tokens is not known"
    ):
        get_reward(overlong()).score("x", TURN)


def test_a_gold_answer_earns_its_maximum_with_it() -> None:
    assert check_gold(get_reward(overlong()), [TURN], 10).shortfalls == ()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"max_length": 0}, "0 is no number of tokens"),
        ({"buffer": 2.5}, "2.5 is no number of tokens"),
        ({"buffer": True}, "True is no number of tokens"),
        ({"buffer": 65}, "65 is above max_length"),
    ],
)
def test_sizes_that_are_none_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(RewardError, match=r"reward\.components\.long\.(max_length|buffer)") as caught:
        get_reward(overlong(**wrong))
    assert says in str(caught.value)


def test_it_comes_back_from_its_canonical_form() -> None:
    reward = get_reward(overlong())
    assert get_reward(reward.to_dict()) == reward
    assert reward.total_range() == (-1.0, 1.0)
