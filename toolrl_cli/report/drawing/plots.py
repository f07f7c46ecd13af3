"""Draws curves as PNG, PDF or SVG: small multiples, one panel a metric, one row a model.

Where seeds are missing, the mean is drawn faint: a change may come from the remaining seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolrl_cli.report.arms import Arm
from toolrl_cli.report.drawing.curves import Curve, CurveReader, fair, panels_of, rl_stage
from toolrl_cli.report.drawing.figure_style import (
    DASHES,
    MARKERS,
    PALETTE,
    legend_columns,
    new_figure,
    save,
    wrapped,
)
from toolrl_cli.report.drawing.panels import Panel
from toolrl_cli.spec.identity import slugify

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 3
"""Panels side by side if there is only one model."""

MAX_LINES = 40
"""Most lines that can be distinguished: colours and dashes then repeat. The page shows all arms."""


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a plot: an arm, its name in the legend, and its row of plots."""

    arm: Arm
    label: str
    facet: str = ""


def lines_of(arms: Sequence[Arm]) -> list[Line]:
    """All arms trained by RL; with several models, one row of plots for each."""
    trained = [arm for arm in arms if any(rl_stage(run) for run in arm.runs)]
    several = len({arm.model for arm in trained}) > 1
    return [Line(a, without_model(a), a.model) if several else Line(a, a.name) for a in trained]


def draw_curves(
    lines: Sequence[Line],
    reader: CurveReader,
    paths: Sequence[Path],
    panels: Sequence[Panel] = (),
    notes: Sequence[str] = (),
) -> bool:
    """Draw lines as small multiples.

    Args:
        paths: files to write the same figure to; their suffixes (`.png`, `.pdf`, `.svg`) choose the formats.
        panels: what to show; by default all that the arms logged of validation, reward, parts and length.
        notes: what has to be said below the figure beside what bands and scales mean.

    Returns:
        False if there is nothing to draw; then no file is written.
    """
    every = list(dict.fromkeys(line.label for line in lines))
    lines = [line for line in lines if line.label in every[:MAX_LINES]]
    arms = [line.arm for line in lines]
    shown = [fair(panel, arms, reader) for panel in panels] or panels_of(arms, reader)
    drawn = {(line, p): reader.curve(line.arm, p) for line in lines for p in shown}
    known = [c for c in drawn.values() if c is not None]
    if not known:
        return False
    facets = list(dict.fromkeys(line.facet for line in lines))
    labels = list(dict.fromkeys(line.label for line in lines))
    columns = len(shown) if len(facets) > 1 else min(_ACROSS, len(shown))
    rows = len(facets) if len(facets) > 1 else math.ceil(len(shown) / columns)
    seeds = _seeds_by_label(lines, drawn)
    width = max(2.5 * columns + 0.3, 5.0)
    names = [wrapped(f"{label} ({_range(seeds[label])})", width - 1.0) for label in labels]
    across = legend_columns(names, width)
    told = wrapped(" ".join(_told(known, len(every) - len(names), shown, notes)), width, points=7)
    legend = 0.17 * _lines_of(names, across) + 0.13 * (told.count("\n") + 1) + 0.25
    last = max(1, *(c.steps[-1] for c in known))
    with new_figure(width, 1.9 * rows + legend + 0.2) as figure:
        axes = figure.subplots(rows, columns, squeeze=False)
        for row, facet in enumerate(facets):
            for index, panel in enumerate(shown):
                axis = axes[row, index] if len(facets) > 1 else axes[divmod(index, columns)]
                for line in lines:
                    found = drawn[line, panel]
                    if found is not None and line.facet == facet:
                        _draw(axis, found, labels.index(line.label), panel)
                _dress(axis, panel, last)
                if len(facets) > 1:
                    _in_matrix(axis, facet if index == 0 else "", top=row == 0, bottom=row == rows - 1)
        for spare in range(len(shown), rows * columns if len(facets) == 1 else 0):
            axes[divmod(spare, columns)].set_axis_off()
        _legend(figure, names, across, told)
        save(figure, paths)
    return True


def _seeds_by_label(
    lines: Sequence[Line], drawn: Mapping[tuple[Line, Panel], Curve | None]
) -> dict[str, set[int]]:
    """Legend entry → numbers of seeds of its lines, which may differ between models."""
    seeds: dict[str, set[int]] = {}
    for line in lines:
        runs = [c.runs for (owner, _), c in drawn.items() if owner is line and c is not None]
        seeds.setdefault(line.label, set()).add(max(runs, default=0))
    return seeds


def _draw(axis: Axes, found: Curve, position: int, panel: Panel) -> None:
    colour, dash = PALETTE[position % len(PALETTE)], DASHES[position % len(DASHES)]
    marker = MARKERS[position % len(MARKERS)] if panel.sparse or len(found.steps) == 1 else None
    whole = [i for i, n in enumerate(found.seeds) if n == found.runs]
    last = whole[-1] if whole else -1
    axis.plot(
        found.steps[: last + 1],
        found.mean[: last + 1],
        color=colour,
        linestyle=dash,
        linewidth=1.3,
        marker=marker,
        markersize=3,
    )
    if last + 1 < len(found.steps):
        # from here on seeds are missing, so the mean is drawn faint
        start = max(last, 0)
        axis.plot(
            found.steps[start:], found.mean[start:], color=colour, linestyle=dash, linewidth=0.8, alpha=0.45
        )
    band = [
        (s, m, h) for s, m, h in zip(found.steps, found.mean, found.half_width, strict=True) if h is not None
    ]
    if band:
        steps, means, halves = zip(*band, strict=True)
        least, most = panel.limits or (-math.inf, math.inf)
        low = [max(least, m - h) for m, h in zip(means, halves, strict=True)]
        high = [min(most, m + h) for m, h in zip(means, halves, strict=True)]
        axis.fill_between(steps, low, high, color=colour, alpha=0.13, linewidth=0)


def _dress(axis: Axes, panel: Panel, last: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_title(panel.title)
    axis.set_ylabel(panel.unit)
    axis.set_xlabel("training step")
    axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))
    axis.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_xlim(-0.02 * last, 1.02 * last)


def _in_matrix(axis: Axes, model: str, top: bool, bottom: bool) -> None:
    """In a matrix of models and panels, show titles and axis labels once."""
    if model:
        axis.set_ylabel(f"{wrapped(model, 1.4)}\n{axis.get_ylabel()}")
    if not top:
        axis.set_title("")
    if not bottom:
        axis.set_xlabel("")


def _told(
    curves: Sequence[Curve], undrawn: int, panels: Sequence[Panel], notes: Sequence[str]
) -> Iterator[str]:
    """What bands, faint lines and scales mean, where they occur."""
    banded = any(h is not None for c in curves for h in c.half_width)
    bands = "band: 95 % t interval over seeds, from three on" if banded else "no band with fewer than three"
    faint = any(n < c.runs for c in curves for n in c.seeds)
    yield f"Mean over n seeds; {bands}{'; faint where seeds are missing' if faint else ''}."
    if undrawn:
        yield f"Not drawn: {undrawn} of the arms; the page has all."
    yield from dict.fromkeys(note for panel in panels for note in panel.notes)
    yield from notes


def _lines_of(names: Sequence[str], across: int) -> int:
    """Lines of text in the highest column of a legend, which is filled column by column."""
    down = math.ceil(len(names) / across)
    columns = [names[i : i + down] for i in range(0, len(names), down)]
    return max(sum(name.count("\n") + 1.3 for name in column) for column in columns).__ceil__()


def _legend(figure: Figure, names: Sequence[str], across: int, told: str) -> None:
    """Name all lines, below what has to be said of them."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=PALETTE[i % len(PALETTE)], linestyle=DASHES[i % len(DASHES)], linewidth=1.6)
        for i in range(len(names))
    ]
    legend = figure.legend(
        handles, names, loc="outside lower center", ncols=across, frameon=False, handlelength=3
    )
    legend.set_title(told, prop=FontProperties(size=7))


def _range(counts: set[int]) -> str:
    if counts == {0}:
        return "no curve yet"
    return f"n = {min(counts)}" if len(counts) == 1 else f"n = {min(counts)}–{max(counts)}"


def without_model(arm: Arm) -> str:
    """The arm's name without its model's, if rows already name the model."""
    slugs = (slugify(arm.model, 10_000), slugify(arm.model)) if arm.model else ()
    return next((arm.name[len(slug) + 1 :] for slug in slugs if arm.name.startswith(f"{slug}-")), arm.name)
