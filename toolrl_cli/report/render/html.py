"""One self-contained HTML page: tables with the origin of each cell, claims, curves, and pairs of arms.

The page's markup, style and scripts are separate files under `page/`; the report's data is embedded as JSON. The page
loads nothing, and text is always inserted as text: an arm's name is never markup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from toolrl_cli.report.arms import Arm, setting_text, varying_settings
from toolrl_cli.report.comparisons.judging import ClaimResult
from toolrl_cli.report.drawing.curves import Curve, CurveReader, panels_of, rl_stage
from toolrl_cli.report.drawing.figure_style import CSS_DASHES, PALETTE
from toolrl_cli.report.model import Cell, Head, Source, Table, digits, fixed, rounded
from toolrl_cli.report.page_items import table_items
from toolrl_cli.report.render.claims_text import difference, printed, together
from toolrl_cli.report.render.shown import full_note, notes_under, row_lines

PAGE = Path(__file__).parent / "page"
SCRIPTS = ("tables.js", "curves.js", "compare.js", "items.js", "start.js")
DIGITS = 4
"""Significant digits of points of a curve; a screen cannot show more."""


def render(
    tables: Sequence[Table],
    arms: Sequence[Arm],
    reader: CurveReader,
    claims: Sequence[ClaimResult],
    results: Path,
    title: str,
) -> str:
    """The page as text.

    Args:
        arms: the arms of all sweeps, for curves and configurations.
        results: the results root, to read per-item verdicts.
    """
    evaluations: dict[str, int] = {}
    known: list[dict[str, Any]] = []
    by_name = {arm.name: arm for arm in arms}
    varying = varying_settings(arms)
    data = {
        "title": title,
        "tables": [_table(t, by_name, varying, evaluations, known, results) for t in tables],
        "evaluations": known,
        "claims": [_claim(c) for c in claims],
        "curves": _curves(arms, reader),
    }
    # "<" could end the script element that holds the data; JSON may write it as an escape.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace(
        "<", "\\u003c"
    )
    return Template((PAGE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        style=(PAGE / "page.css").read_text(encoding="utf-8"),
        script="\n".join((PAGE / name).read_text(encoding="utf-8") for name in SCRIPTS),
        data=text,
    )


def _table(
    table: Table,
    arms: Mapping[str, Arm],
    varying: Sequence[str],
    evaluations: dict[str, int],
    known: list[dict[str, Any]],
    results: Path,
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
        "items": table_items(table, results),
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


def _curves(arms: Sequence[Arm], reader: CurveReader) -> dict[str, Any]:
    trained = [arm for arm in arms if any(rl_stage(run) for run in arm.runs)]
    shown = panels_of(trained, reader)
    trained = [arm for arm in trained if any(reader.curve(arm, panel) for panel in shown)]
    panels = []
    for panel in shown:
        found = [(position, reader.curve(arm, panel)) for position, arm in enumerate(trained)]
        lines = [_line(position, c) for position, c in found if c is not None]
        panels.append({"title": panel.title, "unit": panel.unit, "lines": lines})
    styles = [
        {"name": arm.name, "colour": PALETTE[i % len(PALETTE)], "dash": CSS_DASHES[i % len(CSS_DASHES)]}
        for i, arm in enumerate(trained)
    ]
    return {"arms": styles, "panels": panels}


def _line(position: int, found: Curve) -> dict[str, Any]:
    return {
        "arm": position,
        "x": found.steps,
        "y": [_short(v) for v in found.mean],
        "h": [None if v is None else _short(v) for v in found.half_width],
        "n": found.seeds,
    }


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
