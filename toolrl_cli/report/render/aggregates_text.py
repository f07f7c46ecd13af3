"""Aggregates over models and benchmarks, in every format but the page's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from toolrl_cli.report.comparisons.aggregates import Aggregate, AggregateRow
from toolrl_cli.report.model import fixed, rounded
from toolrl_cli.report.render.csv_format import csv_text
from toolrl_cli.report.render.grids import Grid, render_latex, render_markdown, show
from toolrl_cli.report.statistics.aggregate import RESAMPLES, Estimate
from toolrl_cli.store.schemas import PRINTED

if TYPE_CHECKING:
    from rich.console import Console

HEADS = (
    "",
    "runs",
    "mean",
    "interquartile mean",
    "chance to beat the baseline",
    "above ¼",
    "above ½",
    "above ¾",
)
NOTE = (
    "Over all models and benchmarks named, each with equal weight but in the interquartile mean, which is of "
    f"the middle half of all runs. [95 % interval] of a bootstrap that draws seeds within each ({RESAMPLES} "
    "resamples); it holds the error over seeds, not that of the items, and is too narrow for few models with "
    "three seeds each. Chance to beat the baseline: that of one run against one of the baseline's. Above ¼, ½, "
    "¾: share of runs above that part of the way from the lowest value to the highest; JSON has the whole "
    "performance profile."
)
FIELDS = (
    *("tables", "row", "runs"),
    *(f"{key}{end}" for key in ("mean", "iqm", "improvement") for end in ("", "_low", "_high")),
)


def document(aggregates: Sequence[Aggregate]) -> dict[str, Any]:
    """The aggregates as plain data, with whole performance profiles."""
    return {"schema": PRINTED, "aggregates": [_plain(one) for one in aggregates]}


def render(aggregates: Sequence[Aggregate], kind: str) -> str:
    """The aggregates as `markdown`, `latex`, `csv` or `json`, ending in a line break."""
    if kind == "json":
        return json.dumps(document(aggregates), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    if kind == "csv":
        lines = (_line(one, row) for one in aggregates for row in one.rows)
        return csv_text(FIELDS, ([line[field] for field in FIELDS] for line in lines))
    return (render_latex if kind == "latex" else render_markdown)([_grid(one) for one in aggregates], NOTE)


def print_aggregates(aggregates: Sequence[Aggregate], console: Console) -> None:
    """Print the aggregates on a rich console."""
    show([_grid(one) for one in aggregates], NOTE, console)


def _grid(one: Aggregate) -> Grid:
    quarters = [round(len(one.thresholds) * share) for share in (0.25, 0.5, 0.75)]
    rows = tuple(
        (
            *(row.label, str(row.runs), _interval(row.mean, 1), _interval(row.iqm, 1)),
            "–" if row.improvement is None else _interval(row.improvement, 2),
            *(fixed(rounded(row.profile[q].value, 2), 2) for q in quarters),
        )
        for row in one.rows
    )
    details = [f"over {', '.join(task.name for task in one.tasks)}"]
    details += [f"left out: {told}" for told in one.left_out]
    title = f"{', '.join(one.tables)}: {len(one.tasks)} models × benchmarks"
    return Grid(f"{'-'.join(one.tables)}-aggregate", title, HEADS, rows, tuple(details))


def _interval(estimate: Estimate, places: int) -> str:
    value, low, high = (
        fixed(rounded(v, places), places) for v in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} [{low}, {high}]"


def _plain(one: Aggregate) -> dict[str, Any]:
    return {
        "tables": list(one.tables),
        "tasks": [{"table": t.table, "group": t.group, "column": t.column} for t in one.tasks],
        "baseline": one.baseline or None,
        "rows": [
            {"row": row.label, "runs": row.runs, **_numbers(row), "profile": _profile(one, row)}
            for row in one.rows
        ],
        "left_out": list(one.left_out),
    }


def _numbers(row: AggregateRow) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for key, estimate, places in (
        ("mean", row.mean, 2),
        ("iqm", row.iqm, 2),
        ("improvement", row.improvement, 4),
    ):
        for end, attribute in (("", "value"), ("_low", "low"), ("_high", "high")):
            found[key + end] = None if estimate is None else rounded(getattr(estimate, attribute), places)
    return found


def _profile(one: Aggregate, row: AggregateRow) -> list[dict[str, float]]:
    return [
        {
            "above": rounded(at, 2),
            "share": rounded(e.value, 4),
            "low": rounded(e.low, 4),
            "high": rounded(e.high, 4),
        }
        for at, e in zip(one.thresholds, row.profile, strict=True)
    ]


def _line(one: Aggregate, row: AggregateRow) -> dict[str, Any]:
    return {"tables": " ".join(one.tables), "row": row.label, "runs": row.runs, **_numbers(row)}
