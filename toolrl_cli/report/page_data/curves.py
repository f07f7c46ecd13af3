"""The curves of a page: each arm's lines in each panel, no finer than a screen can show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolrl_cli.report.arms import Arm
from toolrl_cli.report.drawing.curves import Curve, CurveReader, panels_of, rl_stage
from toolrl_cli.report.drawing.figure_style import CSS_DASHES, PALETTE
from toolrl_cli.report.drawing.panels import TRAINING

POINTS = 120_000
"""Most points of all curves together."""

WHOLE = 200
"""Points that a curve may have without losing any: a validation's every point counts."""

DIGITS = 4
"""Significant digits of points of a curve; a screen cannot show more."""


def curves_of(arms: Sequence[Arm], reader: CurveReader) -> dict[str, Any]:
    """The panels with their lines, the arms' styles, and notes on what is not drawn.

    Returns:
        `arms`: `name`, `colour`, `dash`; `panels`: `title`, `unit`, `sparse`, `notes`, `limits`, `training`, and
        `lines`: `arm` (its position), `x`, `y`, `h` (half-width of the interval), `n` (seeds); `notes`.
    """
    every = [arm for arm in arms if any(rl_stage(run) for run in arm.runs)]
    shown = panels_of(every, reader, training=True)
    trained = [arm for arm in every if any(reader.curve(arm, panel) for panel in shown)]
    panels = []
    curves = {(i, panel): reader.curve(arm, panel) for panel in shown for i, arm in enumerate(trained)}
    long = sum(len(c.steps) for c in curves.values() if c is not None and len(c.steps) > WHOLE)
    every_nth = -(-long // POINTS) or 1
    for panel in shown:
        found = [(i, curves[i, panel]) for i in range(len(trained))]
        lines = [_line(i, c, every_nth) for i, c in found if c is not None]
        told = {"title": panel.title, "unit": panel.unit, "sparse": panel.sparse, "notes": panel.notes}
        panels.append({**told, "limits": panel.limits, "training": panel in TRAINING, "lines": lines})
    styles = [
        {"name": arm.name, "colour": PALETTE[i % len(PALETTE)], "dash": CSS_DASHES[i % len(CSS_DASHES)]}
        for i, arm in enumerate(trained)
    ]
    waiting = [arm.name for arm in every if arm not in trained]
    notes = [f"No curve yet: {', '.join(waiting)}."] if waiting else []
    if every_nth > 1:
        notes.append(
            f"Of each curve of more than {WHOLE} points one point in {every_nth} is drawn, and its last."
        )
    return {"arms": styles, "panels": panels, "notes": notes}


def _line(position: int, found: Curve, every_nth: int) -> dict[str, Any]:
    last = len(found.steps) - 1
    kept = [i for i in range(last + 1) if last < WHOLE or i % every_nth == 0 or i == last]
    halves = [found.half_width[i] for i in kept]
    return {
        "arm": position,
        "x": [found.steps[i] for i in kept],
        "y": [_short(found.mean[i]) for i in kept],
        "h": [None if v is None else _short(v) for v in halves],
        "n": [found.seeds[i] for i in kept],
    }


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
