"""Scoring: parts, totals, batches, ranges."""

from __future__ import annotations

import doctest

import pytest

import toolrl_cli.rewards
from tests.rewards.turns import GOLD, ROLLOUTS, turn
from toolrl_cli.rewards import RewardError, get_reward

NO_CALL = turn(response="ok")


def test_a_total_is_the_sum_of_its_weighted_parts() -> None:
    score = get_reward("dynamic+length").score(ROLLOUTS["figure 3, rollout 1"], GOLD, step=40)
    assert list(score.parts) == ["format", "correctness", "length"]
    assert score.total == sum(part.weighted for part in score.parts.values())
    assert all(part.weighted == part.weight * part.raw for part in score.parts.values())


def test_parts_without_length_are_two() -> None:
    assert list(get_reward("coarse").score(GOLD, GOLD).parts) == ["format", "correctness"]


def test_a_paper_reward_judges_calls_where_none_is_wanted() -> None:
    reward = get_reward("original@paper")
    assert reward.score(NO_CALL, NO_CALL).parts["correctness"].raw == 3
    assert reward.score(GOLD, NO_CALL).parts["correctness"].raw == -3
    assert reward.max_total(ground_truth=NO_CALL) == 4


def test_the_most_a_completion_can_score_depends_on_its_ground_truth() -> None:
    reward = get_reward("original")
    assert reward.total_range() == (-3, 4)
    assert reward.total_range(ground_truth=GOLD) == (-3, 4)
    assert reward.total_range(ground_truth=NO_CALL) == (0, 1)
    assert reward.max_total() == 4


def test_over_all_ground_truths_the_released_correctness_can_be_nought() -> None:
    reward = get_reward({"components": {"correctness": {"range": [1, 2]}}})
    assert reward.total_range() == (0, 2)


@pytest.mark.parametrize(
    "rows",
    [
        [(GOLD, GOLD), (GOLD, GOLD, 75), (GOLD, GOLD, 75, 100)],
        [[GOLD, GOLD], [GOLD, GOLD, 75], [GOLD, GOLD, 75, 100]],
        [
            {"completion": GOLD, "ground_truth": GOLD},
            {"completion": GOLD, "ground_truth": GOLD, "step": 75},
            {"completion": GOLD, "ground_truth": GOLD, "step": 75, "total_steps": 100, "more": 1},
        ],
    ],
)
def test_a_batch_takes_tuples_and_mappings_with_steps_of_their_own(rows: list[object]) -> None:
    scores = get_reward("dynamic@paper").score_many(rows, step=0, total_steps=150)  # type: ignore[arg-type]
    assert [score.parts["correctness"].weighted for score in scores] == pytest.approx([2, 2.5, 2.75])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"completion": GOLD}, r"^row 1: has no 'ground_truth', but completion$"),
        ("text", r"^row 1: is no \(completion, ground_truth"),
        ((GOLD,), r"^row 1: is no \(completion"),
        ((GOLD, GOLD, 1, 2, 3), r"^row 1: is no \(completion"),
        ((GOLD, None), r"^row 1: score: completion and ground truth are texts, and one is None"),
        ((3, GOLD), r"^row 1: score: .* one is 3"),
        ((GOLD, turn("bad")), r"^row 1: ground truth: its tool calls"),
    ],
)
def test_a_row_that_cannot_be_scored_is_named(row: object, message: str) -> None:
    with pytest.raises(RewardError, match=message):
        get_reward("original").score_many([(GOLD, GOLD), row])  # type: ignore[list-item]


def test_an_empty_batch_has_no_scores() -> None:
    assert get_reward("original").score_many([]) == []


def test_a_reward_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        get_reward("original").fidelity = "paper"  # type: ignore[misc]


def test_the_example_of_the_package_holds() -> None:
    results = doctest.testmod(toolrl_cli.rewards)
    assert results.attempted == 3
    assert not results.failed
