"""One self-contained HTML page: tables with the origin of each cell, claims, curves, and pairs of arms.

The page's markup, style and scripts are separate files under `page/`; the report's data is embedded as JSON. The page
loads nothing, and text is always inserted as text: an arm's name is never markup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from itertools import zip_longest
from pathlib import Path
from string import Template
from typing import Any

from toolrl_cli.report.arms import Arm, setting_text, varying_settings
from toolrl_cli.report.comparisons.judging import ClaimResult
from toolrl_cli.report.drawing.curves import CurveReader
from toolrl_cli.report.model import Cell, Head, Source, Table, digits, fixed, rounded
from toolrl_cli.report.page_data.curves import curves_of
from toolrl_cli.report.page_data.items import table_items, text_room, without_items
from toolrl_cli.report.page_data.opening import opens_on
from toolrl_cli.report.page_data.rollouts import rollouts_of
from toolrl_cli.report.page_data.runs import runs_of
from toolrl_cli.report.render.claims_text import difference, printed, together
from toolrl_cli.report.render.shown import full_note, notes_under, row_lines
from toolrl_cli.report.sources.results import Sweep
from toolrl_cli.report.table_spec import TableSpec

PAGE = Path(__file__).parent / "page"
SCRIPTS = (
    *("tables.js", "curves.js", "smoothing.js", "compare.js", "items.js", "side_by_side.js"),
    *("rollouts.js", "runs.js", "start.js"),
)
PAGE_BYTES = 9_800_000
"""Most bytes of a page's data; the page around them takes some 50,000."""


def render(
    tables: Sequence[Table],
    arms: Sequence[Arm],
    reader: CurveReader,
    claims: Sequence[ClaimResult],
    results: Path,
    title: str,
    specs: Sequence[TableSpec] = (),
    sweeps: Sequence[Sweep] = (),
) -> str:
    """The page as text.

    Args:
        arms: the arms of all sweeps, for curves and configurations.
        results: the results root, to read per-item verdicts.
        specs: the declarations of the tables, in their order; empty for printed numbers.
        sweeps: what was read, for the facts of their runs.
    """
    room = text_room(tables)
    evaluations: dict[str, int] = {}
    known: list[dict[str, Any]] = []
    by_name = {arm.name: arm for arm in arms}
    varying = varying_settings(arms)
    data = {
        "title": title,
        "tables": [
            _table(t, by_name, varying, evaluations, known)
            | {"items": table_items(t, results, room), "opens": opens_on(t, spec)}
            for t, spec in zip_longest(tables, specs)
        ],
        "evaluations": known,
        "claims": [_claim(c) for c in claims],
        "curves": curves_of(arms, reader),
        "rollouts": rollouts_of(arms),
        "runs": runs_of([sweep for sweep in sweeps if not any(r.imported for r in sweep.runs)], results),
    }
    text = _bounded(data)
    return Template((PAGE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        style=(PAGE / "page.css").read_text(encoding="utf-8"),
        script="\n".join((PAGE / name).read_text(encoding="utf-8") for name in SCRIPTS),
        data=text,
    )


def _bounded(data: dict[str, Any]) -> str:
    """The data as JSON, of at most `PAGE_BYTES`: where there is more, whole tables' items stay in their files."""
    text = _json(data)
    while len(text.encode()) > PAGE_BYTES:
        sizes = {
            i: len(_json(t["items"]).encode())
            for i, t in enumerate(data["tables"])
            if any(x["ids"] for x in t["items"])
        }
        if not sizes:
            break
        largest = max(sizes, key=lambda i: sizes[i])
        without_items(data["tables"][largest], sizes[largest])
        text = _json(data)
    return text


def _json(value: Any) -> str:
    # "<" could end the script element that holds the data; JSON may write it as an escape.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # a model may name half a surrogate pair, which no file can hold
    return text.replace("<", "\\u003c").encode("utf-8", "replace").decode("utf-8")


def _table(
    table: Table,
    arms: Mapping[str, Arm],
    varying: Sequence[str],
    evaluations: dict[str, int],
    known: list[dict[str, Any]],
) -> dict[str, Any]:
    rows = []
    for row in table.rows:
        main, *subs = row_lines(table, row)
        cells = [
            {
                "main": shown.main,
                "spread": shown.spread,
                "best": shown.best,
                "second": shown.second,
                "sub": [_sub(sub.label, sub.cells[i].text) for sub in subs if sub.cells[i].main],
                "value": _sort_value(row.cells[head.name], table.published_only),
                "note": full_note(row.cells[head.name], head),
                "test": _tested(row.cells[head.name], head),
                "sources": [
                    [_evaluation(s, evaluations, known), s.value, s.state]
                    for s in row.cells[head.name].sources
                ],
            }
            for i, (head, shown) in enumerate(zip(table.columns, main.cells, strict=True))
        ]
        arm = arms.get(row.source_arm)
        settings = None if arm is None else {key: setting_text(arm.lookup(key)) for key in varying}
        rows.append(
            {"arm": row.arm, "label": row.label, "group": row.group, "cells": cells, "settings": settings}
        )
    return {
        "name": table.name,
        "title": table.title,
        "columns": [_head(h) for h in table.columns],
        "groups": table.groups,
        "notes": notes_under(table, "Bold", "underlined"),
        "rows": rows,
    }


def _sub(label: str, value: str) -> str:
    """`derived ± 0.05` and `45.84` as `derived 45.84 ± 0.05`."""
    name, _, error = label.partition(" ")
    return f"{name} {value} {error}".rstrip()


def _head(head: Head) -> dict[str, Any]:
    return {"name": head.name, "label": head.label, "direction": head.direction}


def _tested(cell: Cell, head: Head) -> str:
    """The test against the baseline row in words; empty where there is none."""
    if cell.tested is None:
        return ""
    c, places = cell.tested.comparison, head.precision
    difference, low, high = (
        fixed(rounded(v, places), places, sign=True) for v in (c.difference, c.low, c.high)
    )
    family = {"primary": "the primary column", "other": "the other columns"}.get(
        cell.tested.family, "this table"
    )
    return (
        f"Against the baseline: {difference} [{low}, {high}] ({c.test}), p {digits(c.p)},"
        f" after Holm's correction over {family} {digits(cell.tested.adjusted)}."
    )


def _sort_value(cell: Cell, published_only: bool) -> float | None:
    """The sort key of a cell: our value, or the printed one in tables without ours."""
    if published_only and cell.printed is not None:
        return cell.printed.value
    return cell.mean


def _evaluation(source: Source, evaluations: dict[str, int], known: list[dict[str, Any]]) -> int:
    """The position of an evaluation in the page's list; it is listed once for all cells that show it."""
    key = f"{source.stage} {source.runs}"
    if key not in evaluations:
        evaluations[key] = len(known)
        known.append(
            {
                "runs": source.runs,
                "seeds": source.seeds,
                "stage": source.stage,
                "trained": source.trained,
                "checkpoint": source.checkpoint,
                "step": source.step,
                "items": source.items,
            }
        )
    return evaluations[key]


def _claim(result: ClaimResult) -> dict[str, Any]:
    return {
        "verdict": result.verdict,
        "tested": result.tested,
        "text": result.spec.text,
        "on": result.on,
        "steps": [*map(difference, result.steps), *together(result)],
        "printed": printed(result),
    }
