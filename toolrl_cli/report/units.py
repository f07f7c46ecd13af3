"""What a metric's numbers are, in every view: shares in %, or numbers as they are; and which cannot be that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Literal

from toolrl_cli.report.table_spec import load_table, shipped_tables
from toolrl_cli.store.scores import ROUNDED, WHOLES, Score

Unit = Literal["percent", "count"]


@cache
def known_units() -> dict[str, Unit]:
    """BENCHMARK/METRIC → unit, of every column of the shipped tables."""
    return {
        f"{column.benchmark or spec.benchmark}/{column.metric or column.name}": column.unit
        for spec in map(load_table, shipped_tables())
        for column in spec.columns
    }


def unit_of(benchmark: str, metric: str, scores: Iterable[Score]) -> Unit:
    """The unit of a metric: that of the shipped tables, or else percent where its scores have counts.

    Without counts, `accuracy` and `overall` are shares too, unless all their values are above 1.

    Args:
        benchmark: as planned, or with `@STEP` behind it.
        scores: those that are shown together.
    """
    name = benchmark.partition("@")[0]
    known = known_units().get(f"{name}/{metric}")
    if known is not None:
        return known
    found = list(scores)
    values = [score.value for score in found if score.value is not None]
    counted = any(score.total is not None and score.correct is not None for score in found)
    shares = metric in WHOLES and (not values or any(value <= 1 for value in values))
    return "percent" if counted or shares else "count"


def fault_of(score: Score, unit: Unit) -> str:
    """Why a score cannot be shown: its file's fault, or a share that is none of its items; empty if it can."""
    value, correct, total = score.value, score.correct, score.total
    if score.fault or value is None or unit == "count":
        return score.fault
    if not 0 <= value <= 1:
        return f"{value} is no share"
    if correct is None or total is None:
        return ""
    if not 0 <= correct <= total:
        return f"{correct} of {total} is no share"
    if total == 0:
        return "a share of no items"
    return f"{value} is not {correct} of {total}" if abs(value - correct / total) > ROUNDED else ""


def checked(score: Score, unit: Unit) -> Score:
    """The score, without its value where that cannot be shown."""
    fault = fault_of(score, unit)
    return replace(score, value=None, why=f"unreadable: {fault}", fault=fault) if fault else score
