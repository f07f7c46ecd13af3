"""Matching predicted calls to the ground truth's, under both fidelities."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings

from tests.rewards.strategies import call_lists
from tests.rewards.turns import call, turn
from toolrl_cli.rewards.matching import correct_share, paper_match, released_match, same_calls
from toolrl_cli.rewards.reading import Truth, read_truth


def truth_of(*lines: str) -> Truth:
    return read_truth(turn(*lines))


def calls_of(*lines: str) -> list[Any]:
    return [json.loads(line) for line in lines]


def test_released_matching_takes_the_first_best_call_in_ground_truth_order() -> None:
    truth = truth_of(call("f", a=1), call("f", a=2))
    match = released_match(truth, calls_of(call("f", a=2), call("f", a=3)), "original")
    # both ground-truth calls like the keys; the first takes the call that would have suited the second
    assert match.pairs == [(0, 0, 1.0), (1, 1, 1.0)]


def test_paper_matching_is_the_best_assignment() -> None:
    truth = truth_of(call("f", a=1), call("f", a=2))
    match = paper_match(truth, calls_of(call("f", a=2), call("f", a=3)), "original")
    assert match.pairs == [(0, 1, 1.0), (1, 0, 2.0)]


def test_released_matching_pairs_same_names_only_and_paper_pairs_any() -> None:
    truth, calls = truth_of(call("f", a=1)), calls_of(call("g", a=1))
    assert released_match(truth, calls, "original").pairs == []
    assert paper_match(truth, calls, "original").pairs == [(0, 0, 2.0)]


def test_a_predicted_call_is_matched_at_most_once() -> None:
    truth, calls = truth_of(call("f", a=1), call("f", a=1)), calls_of(call("f", a=1))
    assert released_match(truth, calls, "original").pairs == [(0, 0, 2.0)]
    assert released_match(truth, calls, "intermediate").pairs == [(0, 0, 1.0)]
    assert [pair[1:] for pair in paper_match(truth, calls, "original").pairs] == [(0, 2.0)]


@pytest.mark.parametrize(
    ("wanted", "given_", "released", "paper"),
    [
        ("f", "f", 1, 1),
        ("f", "ff", 1 / 2, 1),
        ("f", "fg", 1 / 2, 1 / 2),
        ("f", "ggf", 1 / 3, 1 / 2),
        ("ff", "gf", 1 / 3, 1 / 3),  # figure 3
        ("ff", "f", 1 / 2, 1 / 2),
        ("ff", "fff", 2 / 3, 1),
        ("fg", "gf", 1, 1),
        ("f", "g", 0, 0),
    ],
)
def test_names_count_with_repeats_as_released_and_up_to_the_ground_truth_s_in_the_paper(
    wanted: str, given_: str, released: float, paper: float
) -> None:
    truth = truth_of(*(call(name, a=i) for i, name in enumerate(wanted)))
    calls = calls_of(*(call(name, b=1) for name in given_))
    assert released_match(truth, calls, "original").name_score == pytest.approx(released)
    assert paper_match(truth, calls, "original").name_score == pytest.approx(paper)
    assert paper_match(truth, calls, "finegrained").name_score == float(paper == 1)


@pytest.mark.parametrize(
    ("granularity", "released", "paper"), [("original", 3.0, 3.0), ("finegrained", 2.0, 3.0)]
)
def test_finegrained_keys_count_in_order_as_released_and_as_a_set_in_the_paper(
    granularity: str, released: float, paper: float
) -> None:
    truth, calls = truth_of(call("f", a=1, b=2)), calls_of(call("f", b=2, a=1), call("g"))
    assert released_match(truth, calls, granularity).pairs == [(0, 0, released)]
    assert paper_match(truth, calls, granularity).pairs == [(0, 0, paper)]


def test_a_call_without_parameters_earns_its_keys_where_none_are_wanted() -> None:
    truth, calls = truth_of(call("f")), calls_of(call("f"), call("g"))
    assert released_match(truth, calls, "original").pairs == [(0, 0, 1.0)]
    assert paper_match(truth, calls, "original").pairs == [(0, 0, 1.0)]


def test_intermediate_compares_whole_calls_as_released_and_parameters_in_the_paper() -> None:
    truth, calls = truth_of(call("f", a=1), call("g", a=2)), calls_of(call("g", a=1), call("g", a=2))
    assert released_match(truth, calls, "intermediate").pairs == [(1, 1, 1.0)]
    assert paper_match(truth, calls, "intermediate").pairs == [(0, 0, 1.0), (1, 1, 1.0)]
    assert released_match(truth, calls, "intermediate").full_score == 3


@pytest.mark.parametrize(
    ("fidelity", "granularity", "line", "share"),
    [
        ("released", "original", "3", 0),
        ("released", "original", '{"parameters": {}}', 0),
        ("released", "original", '{"name": "f"}', 0),
        ("released", "original", '{"name": "f", "parameters": [1]}', 0),
        ("released", "original", '{"name": [], "parameters": {}}', 0),
        ("released", "finegrained", '{"name": [], "parameters": {}}', 0),
        ("released", "original", '{"name": "g"}', 0),  # looked at no further than its name
        ("released", "intermediate", '{"name": "f"}', 1 / 2),
        ("paper", "original", '{"name": "f"}', 0),
        ("paper", "original", '{"name": "f", "parameters": [1]}', 0),
        ("paper", "original", '{"name": 3, "parameters": {}}', 0),
    ],
)
def test_a_misshapen_call_earns_nothing_where_it_is_looked_at(
    fidelity: str, granularity: str, line: str, share: float
) -> None:
    truth = truth_of(call("f", a=1))
    assert correct_share(truth, calls_of(line), granularity, fidelity) == share


@pytest.mark.parametrize("line", ['{"name": "f"}', "3", '{"name": [1], "parameters": {}}'])
@pytest.mark.parametrize("fidelity", ["released", "paper"])
def test_a_misshapen_ground_truth_is_earned_by_its_equal_alone(line: str, fidelity: str) -> None:
    truth = truth_of(line)
    assert correct_share(truth, calls_of(line), "original", fidelity) == 1
    assert correct_share(truth, calls_of(call("f")), "original", fidelity) == 0


def test_unreadable_calls_earn_nothing() -> None:
    assert correct_share(truth_of(call("f")), None, "original", "released") == 0


def test_coarse_wants_the_order_as_released_and_not_in_the_paper() -> None:
    truth, calls = truth_of(call("f"), call("g")), calls_of(call("g"), call("f"))
    assert correct_share(truth, calls, "coarse", "released") == 0
    assert correct_share(truth, calls, "coarse", "paper") == 1
    assert correct_share(truth, calls_of(call("g"), call("g")), "coarse", "paper") == 0


@pytest.mark.parametrize(
    ("wanted", "given_", "same"),
    [("fg", "gf", True), ("ff", "fg", False), ("f", "ff", False), ("", "", True)],
)
def test_same_calls_are_the_same_in_any_order_with_repeats(wanted: str, given_: str, same: bool) -> None:
    assert same_calls(list(wanted), list(given_)) is same


@settings(deadline=None, max_examples=60)
@given(wanted=call_lists, given_=call_lists)
def test_no_one_to_one_pairing_beats_the_assignment(
    wanted: list[dict[str, Any]], given_: list[dict[str, Any]]
) -> None:
    truth = truth_of(*(json.dumps(one) for one in wanted))

    def pair(left: dict[str, Any], right: dict[str, Any]) -> float:
        mine, other = left["parameters"], right["parameters"]
        union = mine.keys() | other.keys()
        keys = len(mine.keys() & other.keys()) / len(union) if union else 1.0
        return keys + sum(mine[key] == other[key] for key in mine.keys() & other.keys())

    places: list[int | None] = [*range(len(given_)), *([None] * len(truth.calls))]
    best = max(
        sum(pair(one, given_[at]) for one, at in zip(truth.calls, chosen, strict=True) if at is not None)
        for chosen in set(itertools.permutations(places, len(truth.calls)))
    )
    match = paper_match(truth, given_, "original")
    assert sum(score for _, _, score in match.pairs) == pytest.approx(best)


@settings(deadline=None)
@given(wanted=call_lists, given_=call_lists)
def test_best_pairs_earn_at_least_what_greedy_pairs_earn(
    wanted: list[dict[str, Any]], given_: list[dict[str, Any]]
) -> None:
    truth = truth_of(*(json.dumps(one) for one in wanted))
    greedy, best = (match(truth, given_, "original") for match in (released_match, paper_match))
    assert sum(p[2] for p in best.pairs) >= sum(p[2] for p in greedy.pairs) - 1e-12
