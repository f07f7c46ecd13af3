"""Draws scores as bars: one panel for each column of a table, one group a model, one bar a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.report.drawing.figure_style import PALETTE, legend_columns, new_figure, save
from toolrl_cli.report.model import Cell, Head, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "oo", "++")
"""Hatches that distinguish bars in black and white."""

_COLOURS = tuple("#767676" if colour == "#000000" else colour for colour in PALETTE)
"""Colour of error bars on a black bar."""

_ACROSS = 3
"""Most panels side by side."""

_WIDEST = 10.0
"""Width in inches beyond which panels are stacked: a wider figure cannot be read on a page."""


_CHARACTER = 0.08
"""Largest width in inches of a character of a group's name."""

_MARGIN = 0.6
"""Inches in a panel to the left of its bars."""


def draw_bars(table: Table, paths: Sequence[Path]) -> bool:
    """Write a table's means as bars with their 95 % t intervals over seeds.

    Returns:
        False where fewer than two rows have a value; no file is written then.
    """
    heads = [h for h in table.columns if any(r.cells[h.name].mean is not None for r in table.rows)]
    filled = [row for row in table.rows if any(row.cells[h.name].mean is not None for h in heads)]
    labels = list(dict.fromkeys(row.label for row in filled))
    if len(labels) < 2:
        return False
    groups = table.groups
    panel = max(2.2, 0.14 * len(labels) * len(groups) + 0.9)
    columns = max(1, min(_ACROSS, len(heads), int(_WIDEST / panel)))
    rows = -(-len(heads) // columns)
    width = max(5.0, columns * panel)
    across = legend_columns(labels, width)
    with new_figure(width, 2.1 * rows + 0.25 * -(-len(labels) // across) + 0.2) as figure:
        axes = figure.subplots(rows, columns, squeeze=False)
        for index, head in enumerate(heads):
            _draw(axes[divmod(index, columns)], table, head, labels, groups)
            _name_groups(axes[divmod(index, columns)], groups, width / columns - _MARGIN)
        for spare in range(len(heads), rows * columns):
            axes[divmod(spare, columns)].set_axis_off()
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(
            handles,
            names,
            loc="outside lower center",
            ncols=across,
            frameon=False,
            handleheight=1.2,
        )
        save(figure, paths)
    return True


def _draw(axis: Axes, table: Table, head: Head, labels: Sequence[str], groups: Sequence[str]) -> None:
    size = 0.84 / len(labels)
    for position, label in enumerate(labels):
        cells = {r.group: r.cells[head.name] for r in table.rows if r.label == label}
        places = [i for i, g in enumerate(groups) if g in cells and cells[g].mean is not None]
        found = [cells[groups[i]] for i in places]
        axis.bar(
            [i + (position - (len(labels) - 1) / 2) * size for i in places],
            [c.mean or 0.0 for c in found],
            width=0.92 * size,
            yerr=_errors(found) if any(c.ci for c in found) else None,
            error_kw={"elinewidth": 0.7, "capsize": 1.5},
            color=_COLOURS[position % len(_COLOURS)],
            hatch=HATCHES[position % len(HATCHES)],
            edgecolor="white",
            linewidth=0.4,
            label=label,
        )
    axis.set_title(head.label)
    axis.set_ylabel("score (%)" if head.unit == "percent" else "count")
    axis.set_xlim(-0.6, len(groups) - 0.4)
    axis.grid(axis="x", visible=False)
    axis.set_axisbelow(True)


def _errors(cells: Sequence[Cell]) -> list[list[float]]:
    """How far each interval reaches below and above its mean, within what values can be."""
    below = [max(0.0, (c.mean or 0.0) - c.low) if c.low is not None else 0.0 for c in cells]
    above = [max(0.0, c.high - (c.mean or 0.0)) if c.high is not None else 0.0 for c in cells]
    return [below, above]


def _name_groups(axis: Axes, groups: Sequence[str], room: float) -> None:
    """Write the groups' names below an axis of this width in inches, tilted where they would overlap."""
    longest = max(map(len, groups))
    crowded = len(groups) > 1 and longest * _CHARACTER > room / len(groups)
    tilted: dict[str, Any] = {"rotation": 15, "ha": "right"} if crowded else {}
    axis.set_xticks(range(len(groups)), groups, **tilted)
