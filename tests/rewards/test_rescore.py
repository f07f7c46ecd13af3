"""Comparing rewards on the same rollouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.rewards.strategies import completions, ground_truths
from tests.rewards.turns import FLIGHT, GOLD, LAX, ROLLOUTS, SFO, turn
from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.rewards.comparing.rescore import Rescored, Rollout, exact_match, rescore, rollout_from

NAMES = ["original", "finegrained", "coarse", "original@paper"]


def rollouts(*groups: list[str], gold: str = GOLD, logged: bool = False) -> list[Rollout]:
    original = get_reward("original")
    return [
        Rollout(text, gold, str(group), 1, original.score(text, gold).total if logged else None)
        for group, texts in enumerate(groups)
        for text in texts
    ]


def compared(rows: list[Rollout], *names: str) -> Rescored:
    return rescore(rows, [get_reward(name) for name in names or NAMES], total_steps=100)


VARIED = rollouts(list(ROLLOUTS.values()), [GOLD, GOLD], [GOLD, ROLLOUTS["swapped order"]], [GOLD])


def test_mean_and_spread_are_those_of_the_totals() -> None:
    result = compared(VARIED)
    for arm, totals in zip(result.arms, result.totals, strict=True):
        assert (arm.mean, arm.std) == pytest.approx((np.mean(totals), np.std(totals)))
        assert (arm.least, arm.most) == (min(totals), max(totals))
    assert (result.rollouts, result.groups, result.comparable_groups) == (12, 4, 3)


def test_rank_correlation_is_spearman_s() -> None:
    result = compared(VARIED)
    for at, one in enumerate(result.totals):
        for to, other in enumerate(result.totals):
            expected = stats.spearmanr(np.round(one, 9), np.round(other, 9)).statistic
            assert result.rank_correlation[at][to] == pytest.approx(expected)


def test_advantage_signs_agree_where_both_put_a_rollout_on_the_same_side_of_its_group() -> None:
    # original: all equal but the wrong one; coarse: the swapped one is as wrong as the wrong one
    rows = rollouts([GOLD, GOLD, ROLLOUTS["swapped order"], turn(FLIGHT)])
    result = compared(rows, "original", "coarse")
    assert result.sign_agreement == ((1.0, 0.75), (0.75, 1.0))


def test_groups_of_equal_totals_have_no_gradient() -> None:
    rows = rollouts([GOLD, GOLD], [GOLD, ROLLOUTS["swapped order"]], [GOLD])
    result = compared(rows, "original", "coarse")
    assert [arm.zero_variance for arm in result.arms] == [1.0, 0.5]


def test_a_prompt_at_another_step_is_another_group() -> None:
    rows = [Rollout(GOLD, GOLD, "p", step) for step in (1, 1, 2, 2)]
    assert compared(rows, "original").groups == 2


def test_single_rollouts_have_no_advantage() -> None:
    result = compared(rollouts([GOLD], [FLIGHT]), "original")
    assert result.sign_agreement == ((None,),)
    assert result.arms[0].zero_variance is None
    assert result.comparable_groups == 0


def test_totals_that_differ_by_rounding_alone_are_ties(tmp_path: Path) -> None:
    source = f"def f(completion):\n    return 0.1 + 0.2 if completion == {GOLD!r} else 0.3\n"
    (tmp_path / "rewards.py").write_text(source)
    mine = {"kind": "python", "path": str(tmp_path / "rewards.py"), "function": "f", "range": [0, 1]}
    rows = rollouts([GOLD, turn(FLIGHT)])
    result = rescore(rows, [get_reward({"components": {"mine": mine}}), get_reward("original")])
    assert len(set(result.totals[0])) == 2
    assert result.rank_correlation[0] == (None, None)


def test_a_constant_arm_has_no_rank_correlation() -> None:
    result = compared(rollouts([GOLD, GOLD]), "original")
    assert result.rank_correlation == ((None,),)
    assert result.arms[0].exact_rank is None
    assert result.arms[0].exact_auc is None


def test_agreement_with_exact_match_is_correlation_and_auc() -> None:
    near = ROLLOUTS["figure 3, rollout 1"]
    result = compared(rollouts([GOLD, near], [GOLD, near, near]), "original", "coarse")
    assert result.exact_match == pytest.approx(2 / 5)
    assert [arm.exact_auc for arm in result.arms] == [1.0, 1.0]
    assert [arm.exact_rank for arm in result.arms] == pytest.approx([1.0, 1.0])
    swapped = ROLLOUTS["swapped order"]  # an exact match in any order, which coarse counts as wrong
    assert compared(rollouts([swapped, turn(FLIGHT)]), "coarse").arms[0].exact_auc == 0.5


def test_the_reward_that_was_logged_is_reproduced() -> None:
    rows = rollouts(list(ROLLOUTS.values()), logged=True)
    result = compared(rows, "original", "finegrained")
    assert [arm.reproduces_logged for arm in result.arms] == [True, False]
    assert result.arms[0].logged_error == 0
    assert compared(rollouts([GOLD]), "original").arms[0].reproduces_logged is None


def test_results_are_json_and_a_flat_table() -> None:
    result = compared(VARIED)
    document = json.loads(json.dumps(result.to_dict()))
    assert [arm["name"] for arm in document["arms"]] == NAMES
    assert "totals" not in document
    table = result.table()
    assert table[1]["name"] == "finegrained"
    assert table[1]["rank:finegrained"] == pytest.approx(1)
    assert table[1]["sign:coarse"] == result.sign_agreement[1][2]


@pytest.mark.parametrize(("rows", "names"), [([], ["original"]), (VARIED, [])])
def test_nothing_to_compare_is_an_error(rows: list[Rollout], names: list[str]) -> None:
    with pytest.raises(RewardError, match="needs at least one rollout and one reward"):
        rescore(rows, [get_reward(name) for name in names])


def test_two_arms_of_one_name_are_refused() -> None:
    with pytest.raises(RewardError, match="two rewards have the same name: coarse, coarse"):
        compared(VARIED, "coarse", "coarse")


@settings(deadline=None, max_examples=40)
@given(
    data=st.lists(st.tuples(completions | ground_truths(), st.sampled_from("pqr")), min_size=1, max_size=9)
)
def test_any_rollouts_can_be_compared_and_matrices_are_symmetric(data: list[tuple[str, str]]) -> None:
    result = compared([Rollout(text, GOLD, group) for text, group in data])
    for matrix in (result.rank_correlation, result.sign_agreement):
        for at, to in [(0, 1), (1, 2), (2, 3)]:
            assert matrix[at][to] == pytest.approx(matrix[to][at])
    for values in result.sign_agreement:
        assert all(value is None or 0 <= value <= 1 for value in values)


@pytest.mark.parametrize(
    ("completion", "gold", "exact"),
    [
        (turn(LAX, SFO), GOLD, True),
        (turn(SFO), GOLD, False),
        (turn("{bad"), GOLD, False),
        (turn(response="ok"), GOLD, False),
        (turn(response="other"), turn(response="ok"), True),
        (GOLD, turn(response="ok"), False),
    ],
)
def test_exact_match_is_the_same_calls_in_any_order(completion: str, gold: str, exact: bool) -> None:
    assert exact_match(completion, gold) is exact


def test_calls_nested_too_deep_to_be_compared_match_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_deep(*_: object) -> bool:
        raise RecursionError

    monkeypatch.setattr("toolrl_cli.rewards.exact_match.same_calls", too_deep)
    assert exact_match(GOLD, GOLD) is False


VERL = {"input": "p", "output": GOLD, "gts": GOLD, "score": 4.0, "step": 3, "uid": "ab_c_0_1"}


@pytest.mark.parametrize(
    ("raw", "rollout"),
    [
        (VERL, Rollout(GOLD, GOLD, "ab_c", 3, 4.0)),
        ({**VERL, "uid": "plain"}, Rollout(GOLD, GOLD, "plain", 3, 4.0)),
        ({**VERL, "uid": "a_b_c"}, Rollout(GOLD, GOLD, "a_b_c", 3, 4.0)),
        ({**VERL, "uid": None}, Rollout(GOLD, GOLD, "p", 3, 4.0)),
        ({"completion": "c", "ground_truth": "g", "group": 7}, Rollout("c", "g", "7", 5, None)),
        (
            {"completion": "", "ground_truth": "g", "group": "a_0_0", "logged": 0},
            Rollout("", "g", "a_0_0", 5, 0.0),
        ),
    ],
)
def test_a_line_of_a_dump_is_a_rollout(raw: dict[str, Any], rollout: Rollout) -> None:
    assert rollout_from(raw, "dump.jsonl:1", step=5) == rollout


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"ground_truth": "g", "group": 1},
            "dump:1: has no completion .one of: completion, output, response",
        ),
        ({"completion": "c", "ground_truth": "g"}, "dump:1: has no group"),
        ({"completion": 3, "ground_truth": "g", "group": 1}, "dump:1: its completion is no text"),
    ],
)
def test_a_line_that_is_no_rollout_is_named(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(RewardError, match=message):
        rollout_from(raw, "dump:1")


def test_a_rollout_may_be_read_alone() -> None:
    assert rollout_from(VERL).group == "ab_c"
