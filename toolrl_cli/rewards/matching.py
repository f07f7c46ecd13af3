"""Matching of predicted calls to ground-truth calls, and the score of the match.

There are two fidelities. `released` is what the code of ToolRL 8cee13e computes: greedy in ground-truth order,
same-name calls only, order-sensitive where the granularity is fine or coarse. `paper` is arXiv 2504.13958,
section 3.3 and table 7: the best one-to-one assignment, sets, no order.

Score of a match = name term + Σ over pairs (key term + value term), out of S_max.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from toolrl_cli.rewards.reading import Truth

GRANULARITIES = ("original", "finegrained", "intermediate", "coarse")

# What a malformed call raises inside a match: no name, no parameters, parameters that are not an object, a name
# that cannot be hashed, values nested too deeply to be compared. Both fidelities score it as no match.
MISSHAPEN = (KeyError, TypeError, AttributeError, RecursionError)


# ground-truth call and the predicted call matched to it, by index, and the pair's key term plus value term
Pair = tuple[int, int, float]


class Match(NamedTuple):
    """A matching; `share` = (name_score + Σ pair scores) / full_score lies in [0, 1]."""

    name_score: float
    pairs: list[Pair]
    full_score: float
    share: float


def released_match(truth: Truth, calls: list[Any], granularity: str) -> Match:
    """The matching that the released code computes for `calls` that differ from the ground truth's.

    Args:
        granularity: `original`, `finegrained` or `intermediate`; `coarse` has no matching.

    Raises:
        KeyError, TypeError, AttributeError, RecursionError: a call that it looks at has the wrong shape.
    """
    strict, whole = granularity == "finegrained", granularity == "intermediate"
    keys = "order" if strict else "jaccard"
    names = [call["name"] for call in calls]
    if truth.names is None or truth.parameters is None or (truth.full_terms is None and not whole):
        raise KeyError("the ground truth has a call without name or parameters")
    name_score = 1.0 if truth.names == names else _released_names(truth, names, strict)
    score = name_score
    pairs: list[Pair] = []
    free = list(range(len(calls)))
    for gold, name in enumerate(truth.names):
        best, best_score = -1, 0.0
        for predicted in free:
            if names[predicted] != name:
                continue
            if whole:
                if truth.calls[gold] == calls[predicted]:
                    best, best_score = predicted, 1.0
                    break
                continue
            given = calls[predicted]["parameters"]
            if not isinstance(given, dict):
                raise TypeError("the parameters of a call are no object")
            pair_score = _pair_score(truth.parameters[gold], given, keys, operator.eq)
            if pair_score > best_score:
                best, best_score = predicted, pair_score
        if best >= 0:
            free.remove(best)
            pairs.append((gold, best, best_score))
            score += best_score
    full = 1 + len(truth.calls) if whole else truth.full_terms or 1
    return Match(name_score, pairs, full, score / full)


def _released_names(truth: Truth, names: list[Any], strict: bool) -> float:
    """Jaccard of two lists of names that are not equal, counting repeats; 0 with `strict`."""
    if strict:
        return 0.0
    if truth.name_counts is None:
        raise TypeError("a name of the ground truth cannot be counted")
    left = truth.name_counts.copy()
    common = 0
    for name in names:
        if left.get(name, 0):
            left[name] -= 1
            common += 1
    return common / (len(truth.calls) + len(names) - common)


def _pair_score(
    wanted: dict[str, Any], given: dict[str, Any], keys: str, equals: Callable[[Any, Any], bool]
) -> float:
    """Key term plus one for each value that is equal.

    Args:
        keys: the key term: `jaccard`, or 1 for `same` keys, or for the same keys in the same `order`.
    """
    common = equal = 0
    for key, value in wanted.items():
        if key in given:
            common += 1
            if equals(given[key], value):
                equal += 1
    union = len(wanted) + len(given) - common
    if keys == "jaccard":
        return equal + (common / union if union else 1.0)
    return equal + float(common == union if keys == "same" else list(given) == list(wanted))


def paper_match(truth: Truth, calls: list[Any], granularity: str) -> Match:
    """The matching of the paper: the one-to-one assignment with the largest score.

    Any predicted call may be matched to any ground-truth call; a wrong name costs the name term only.

    Args:
        granularity: `original`, `finegrained` or `intermediate`; `coarse` has no matching.

    Raises:
        KeyError, TypeError, AttributeError, RecursionError: a call has the wrong shape.
    """
    names = [call["name"] for call in calls]
    given = [call["parameters"] for call in calls]
    if truth.names is None or truth.parameters is None or truth.full_terms is None:
        raise KeyError("the ground truth has a call without name or parameters")
    if not all(isinstance(parameters, dict) for parameters in (*truth.parameters, *given)):
        raise TypeError("the parameters of a call are no object")
    if not all(isinstance(name, str) for name in (*truth.names, *names)):
        raise TypeError("the name of a call is no text")
    name_score = _paper_names(truth.names, names)
    if granularity == "finegrained":
        name_score = float(name_score == 1.0)
    keys = "same" if granularity == "finegrained" else "jaccard"
    if granularity == "intermediate":
        scores = [[float(same_value(wanted, have)) for have in given] for wanted in truth.parameters]
    else:
        scores = [
            [_pair_score(wanted, have, keys, same_value) for have in given] for wanted in truth.parameters
        ]
    pairs = [(g, p, scores[g][p]) for g, p in assign(scores) if scores[g][p] > 0]
    full = 1 + len(truth.calls) if granularity == "intermediate" else truth.full_terms
    return Match(name_score, pairs, full, (name_score + sum(score for _, _, score in pairs)) / full)


def _paper_names(wanted: Sequence[Any], given: Sequence[Any]) -> float:
    """|N_G ∩ N_P| / |N_G ∪ N_P|, where each ground-truth call is an element of N_G.

    A tool that the ground truth calls k times is k elements, as in the paper's figure 3 (two Get_Price
    against Get_Flight and Get_Price: 1/3, where plain sets of names give 1/2); predicted calls beyond k add
    no further element, as in a set. Where the ground truth repeats no name this is the plain set Jaccard.
    """
    elements_wanted = Counter(wanted)
    elements_given = {
        name: min(count, elements_wanted.get(name, 1)) for name, count in Counter(given).items()
    }
    common = sum(min(count, elements_given.get(name, 0)) for name, count in elements_wanted.items())
    union = len(wanted) + sum(elements_given.values()) - common
    return common / union if union else 1.0


def assign(scores: list[list[float]]) -> list[tuple[int, int]]:
    """The one-to-one assignment of rows to columns with the largest sum; there is at least one of each.

    scipy is imported only where there is a choice between pairs.
    """
    if len(scores) == 1:
        return [(0, max(range(len(scores[0])), key=scores[0].__getitem__))]
    if len(scores[0]) == 1:
        return [(max(range(len(scores)), key=lambda row: scores[row][0]), 0)]
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(scores, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]


def same_value(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; toolrl's one definition, with one exception.

    Numbers by value (1 and 1.0), texts by their characters, lists in order, objects whatever the order of their keys;
    true and false equal no number. The released code compares with Python's `==`, for which true is 1: so does the
    fidelity `released`.

    Raises:
        RecursionError: they are nested too deeply to be compared.
    """
    return one is other or (one == other and _same_kinds(one, other))


def _same_kinds(one: Any, other: Any) -> bool:
    """Of equal values: whether neither has a truth value where the other has a number."""
    if isinstance(one, dict):
        return all(_same_kinds(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return all(map(_same_kinds, one, other))
    return isinstance(one, bool) is isinstance(other, bool)


def equality(fidelity: str) -> Callable[[Any, Any], bool]:
    """What decides whether two values are equal under a fidelity; see `same_value`."""
    return operator.eq if fidelity == "released" else same_value


def same_calls(wanted: list[Any], given: list[Any]) -> bool:
    """Whether the two lists hold the same calls, in any order."""
    if len(wanted) != len(given):
        return False
    rest = list(given)
    for call in wanted:
        at = next((at for at, each in enumerate(rest) if same_value(call, each)), None)
        if at is None:
            return False
        del rest[at]
    return True


def match_calls(truth: Truth, calls: list[Any], granularity: str, fidelity: str) -> Match:
    """The matching of `calls` under any granularity and fidelity, including exact answers and `coarse`.

    Raises:
        KeyError, TypeError, AttributeError, RecursionError: a call that it looks at has the wrong shape.
    """
    if equality(fidelity)(truth.calls, calls):
        return EXACT
    if granularity == "coarse":
        return EXACT if fidelity == "paper" and same_calls(truth.calls, calls) else NOTHING
    match = released_match if fidelity == "released" else paper_match
    return match(truth, calls, granularity)


# All-or-nothing matches: their share needs no terms.
EXACT = Match(1.0, [], 1, 1.0)
NOTHING = Match(0.0, [], 1, 0.0)


def correct_share(truth: Truth, calls: list[Any] | None, granularity: str, fidelity: str) -> float:
    """Share of S_max that `calls` earn, in [0, 1]; 0 for calls that cannot be read or are malformed."""
    if calls is None:
        return 0.0
    try:
        return match_calls(truth, calls, granularity, fidelity).share
    except MISSHAPEN:
        return 0.0
