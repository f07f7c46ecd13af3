"""Columns of BFCL V3 and V4 from the counts of their categories.

V3's are as bfcl-eval 2025.6.8 computes them; the paper's Non-Live also averages the four exec categories, which no
released evaluator scores. Without them its Overall is this one. V4's are as bfcl-eval 2026.3.23 computes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from toolrl_cli.spec.evaluations.benchmarks import Metric

SIMPLE = ("simple", "java", "javascript")
NON_LIVE_AST = ("multiple", "parallel", "parallel_multiple")
"""Each counts as much as the mean of `SIMPLE`."""
LIVE = (
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
)
MULTI_TURN = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
IRRELEVANCE = "non_live_irrelevance"
"""Upstream's category `irrelevance`; the column of that name is the mean of it and `live_irrelevance`."""
CATEGORIES = (*SIMPLE, *NON_LIVE_AST, IRRELEVANCE, *LIVE, *MULTI_TURN)

SIMPLE_V4 = ("simple_python", "simple_java", "simple_javascript")
LIVE_V4 = LIVE[:4]
CATEGORIES_V4 = (*SIMPLE_V4, *NON_LIVE_AST, IRRELEVANCE, *LIVE, *MULTI_TURN)

Counts = Mapping[str, tuple[int, int]]
"""Category → how many are right, of how many."""
Share = Fraction | str
"""A share, or why there is none."""

NO_AGENTIC = "40 % of it are the agentic categories, which need a search service; see overall_without_agentic"
NO_EXEC = "no released evaluator scores the exec categories: most need live web services"


def columns(counts: Counts, unknown: Mapping[str, int]) -> dict[str, Metric]:
    """The paper's columns, then the categories.

    Args:
        counts: of the categories that were asked.
        unknown: how many items of a category could not be run; it has no value then, nor has a column over it.
    """
    shares = {name: _share(name, counts, unknown) for name in CATEGORIES}
    ast = _mean([_mean([shares[name] for name in SIMPLE]), *(shares[name] for name in NON_LIVE_AST)])
    non_live = _mean(
        [
            _mean([shares[name] for name in SIMPLE]),
            *(shares[name] for name in (*NON_LIVE_AST, IRRELEVANCE)),
        ]
    )
    live = _pooled(LIVE, shares, counts)
    multi_turn = _mean([shares[name] for name in MULTI_TURN])
    return {
        "overall": _metric(_mean([non_live, live, multi_turn]), CATEGORIES, counts),
        "non_live_ast": _metric(ast, (*SIMPLE, *NON_LIVE_AST), counts),
        "non_live_exec": Metric(None, None, None, NO_EXEC),
        "live": _metric(live, LIVE, counts, counted=True),
        "multi_turn": _metric(multi_turn, MULTI_TURN, counts),
        "relevance": _metric(shares["live_relevance"], ("live_relevance",), counts, counted=True),
        "irrelevance": _metric(
            _mean([shares[IRRELEVANCE], shares["live_irrelevance"]]),
            (IRRELEVANCE, "live_irrelevance"),
            counts,
        ),
        **{name: _metric(shares[name], (name,), counts, counted=True) for name in CATEGORIES},
    }


def columns_v4(counts: Counts, unknown: Mapping[str, int]) -> dict[str, Metric]:
    """V4's columns, then the categories; the arguments are those of `columns`.

    Overall is weighted 10 Non-Live, 10 Live, 10 Irrelevance, 30 Multi-Turn and 40 Agentic; without the last the four
    others have these weights among themselves.
    """
    shares = {name: _share(name, counts, unknown) for name in CATEGORIES_V4}
    ast = _mean([_mean([shares[name] for name in SIMPLE_V4]), *(shares[name] for name in NON_LIVE_AST)])
    live = _pooled(LIVE_V4, shares, counts)
    multi_turn = _mean([shares[name] for name in MULTI_TURN])
    irrelevance = _mean([shares[IRRELEVANCE], shares["live_irrelevance"]])
    asked = [name for name in CATEGORIES_V4 if name != "live_relevance"]
    return {
        "overall": Metric(None, None, None, NO_AGENTIC),
        "overall_without_agentic": _metric(
            _mean([ast, live, irrelevance, multi_turn, multi_turn, multi_turn]), asked, counts
        ),
        "non_live": _metric(ast, (*SIMPLE_V4, *NON_LIVE_AST), counts),
        "live": _metric(live, LIVE_V4, counts, counted=True),
        "multi_turn": _metric(multi_turn, MULTI_TURN, counts),
        "relevance": _metric(shares["live_relevance"], ("live_relevance",), counts, counted=True),
        "irrelevance": _metric(irrelevance, (IRRELEVANCE, "live_irrelevance"), counts),
        **{name: _metric(shares[name], (name,), counts, counted=True) for name in CATEGORIES_V4},
    }


def _share(name: str, counts: Counts, unknown: Mapping[str, int]) -> Share:
    right, total = counts.get(name, (0, 0))
    if unknown.get(name):
        return f"{unknown[name]} of {total} items of {name} could not be run"
    return Fraction(right, total) if total else f"no item of {name} was asked"


def _mean(shares: Sequence[Share]) -> Share:
    known = [share for share in shares if not isinstance(share, str)]
    if len(known) < len(shares):
        return "; ".join(dict.fromkeys(share for share in shares if isinstance(share, str)))
    return sum(known, Fraction(0)) / len(known)


def _pooled(names: Sequence[str], shares: Mapping[str, Share], counts: Counts) -> Share:
    fault = _mean([shares[name] for name in names])
    if isinstance(fault, str):
        return fault
    return Fraction(sum(counts[name][0] for name in names), sum(counts[name][1] for name in names))


def _metric(share: Share, names: Sequence[str], counts: Counts, *, counted: bool = False) -> Metric:
    total = sum(counts.get(name, (0, 0))[1] for name in names)
    if isinstance(share, str):
        return Metric(None, None, total, share)
    if not counted:  # a mean of means has no counts of its own
        return Metric(float(share))
    return Metric(float(share), sum(counts[name][0] for name in names), total)
