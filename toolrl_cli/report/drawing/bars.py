"""Draws scores as bars: one panel for each column of a table, one bar a row, below the name of its group.

Names stand beside the bars and numbers behind them, so that neither colour nor a legend is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolrl_cli.report.drawing.figure_style import PALETTE, new_figure, save, wrapped
from toolrl_cli.report.model import Cell, Head, Row, Table
from toolrl_cli.report.render.shown import row_lines
from toolrl_cli.report.statistics.basics import MIN_SEEDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ACROSS = 3
"""Most panels side by side."""

_LINE = 0.2
"""Height in inches of a bar or of a line of its name."""

_SURE, _PALE = PALETTE[0], "#9CC6E3"
"""Colour of a bar with an interval, and of one whose seeds are too few for any."""

_DIGIT = 0.058
"""Largest width in inches of a character behind a bar."""

_NAMES = 1.7
"""Most inches for the names beside the bars."""

_PANEL = 2.5
"""Width in inches of a panel without names."""


def draw_bars(table: Table, paths: Sequence[Path], notes: Sequence[str] = ()) -> bool:
    """Write a table's means as bars with their 95 % t intervals over seeds.

    Args:
        notes: what has to be said below the figure beside what bars and whiskers mean.

    Returns:
        False where fewer than two rows have a value; no file is written then.
    """
    heads = [head for head in table.columns if any(_value(row, head) is not None for row in table.rows)]
    filled = [row for row in table.rows if any(_value(row, head) is not None for head in heads)]
    if len({row.label for row in filled}) < 2:
        return False
    places, names = _places(filled, named=len(table.groups) > 1)
    columns = min(_ACROSS, len(heads))
    rows = -(-len(heads) // columns)
    width = max(5.0, columns * _PANEL + _NAMES)
    told = wrapped(" ".join([*_told(table, filled, heads), *notes]), width, points=7)
    height = rows * (_LINE * (places[-1] + 1.6) + 0.5) + 0.13 * (told.count("\n") + 1) + 0.15
    with new_figure(width, height) as figure:
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for index, head in enumerate(heads):
            axis = axes[divmod(index, columns)]
            _draw(axis, table, head, filled, places, (width - _NAMES) / columns - 0.2)
            axis.set_ylim(places[-1] + 0.8, min(p for p, _ in names) - 0.8)
            axis.set_yticks([p for p, _ in names], [name for _, name in names])
            axis.tick_params(axis="y", length=0)
        for spare in range(len(heads), rows * columns):
            axes[divmod(spare, columns)].set_axis_off()
        figure.supxlabel(told, fontsize=7, x=0.01, ha="left")
        save(figure, paths)
    return True


def _value(row: Row, head: Head) -> float | None:
    return row.cells[head.name].mean


def _places(rows: Sequence[Row], named: bool) -> tuple[list[float], list[tuple[float, str]]]:
    """Where each bar stands, from the top, and the names beside them, those of groups included where `named`."""
    places: list[float] = []
    names: list[tuple[float, str]] = []
    at, group = -1.0, ""
    for row in rows:
        if named and row.group != group:
            group = row.group
            at = _below(at, f"{wrapped(group, _NAMES)}:", names)
        at = _below(at, wrapped(row.label, _NAMES), names)
        places.append(names[-1][0])
    return places, names


def _below(at: float, name: str, names: list[tuple[float, str]]) -> float:
    """Put a name below `at`, with room for all its lines; returns where it ends."""
    half = 0.33 * name.count("\n")
    names.append((at + 1.0 + half, name))
    return at + 1.0 + 2 * half


def _draw(
    axis: Axes, table: Table, head: Head, rows: Sequence[Row], places: Sequence[float], room: float
) -> None:
    """Draw one column.

    Args:
        room: width of the axis in inches; it is made long enough for the numbers behind the bars.
    """
    column = table.columns.index(head)
    most = head.limit if head.unit == "percent" else 0.0
    top = 1e-9
    for row, place in zip(rows, places, strict=True):
        cell = row.cells[head.name]
        shown = next(row_lines(table, row)).cells[column].text
        end = 0.0
        if cell.mean is not None:
            axis.barh(place, cell.mean, height=0.72, color=_SURE if _sure(cell) else _PALE, linewidth=0)
            end = cell.mean
        if cell.mean is not None and cell.low is not None and cell.high is not None:
            error = [[max(0.0, cell.mean - cell.low)], [max(0.0, cell.high - cell.mean)]]
            axis.errorbar(cell.mean, place, xerr=error, fmt="none", ecolor="black", elinewidth=0.9, capsize=2)
            end = max(end, cell.high)
        colour = "black" if cell.mean is not None else "#666666"
        axis.annotate(
            shown, (end, place), (4, 0), textcoords="offset points", va="center", fontsize=6.5, color=colour
        )
        top = max(top, end / max(0.2, 1 - (_DIGIT * len(shown) + 0.12) / room))
        most = max(most, end)
    axis.set_title(f"{head.label}{f' ({rows[0].group})' if rows[0].group and len(table.groups) == 1 else ''}")
    axis.set_xlabel("score (%)" if head.unit == "percent" else "count")
    axis.set_xlim(0, max(top, 1.02 * most))
    axis.set_xticks([tick for tick in axis.get_xticks() if tick <= most])
    axis.grid(axis="y", visible=False)
    axis.set_axisbelow(True)


def _told(table: Table, rows: Sequence[Row], heads: Sequence[Head]) -> list[str]:
    """What bars, numbers and whiskers mean, where they occur."""
    cells = [row.cells[head.name] for row in rows for head in heads if _value(row, head) is not None]
    told = ["Mean (number of seeds)"]
    if any(cell.ci is not None for cell in cells):
        told.append("whisker and ±: 95 % t interval over seeds")
    if not all(map(_sure, cells)):
        told.append(f"pale: no interval (fewer than {MIN_SEEDS} seeds, or all gave one value)")
    apart = [problem for problem in table.problems if "scored differently" in problem]
    waiting = [
        f"{row.source_arm} ({_state(row)})" for row in table.rows if row.source_arm and row not in rows
    ]
    return [f"{'; '.join(told)}.", *([f"No value yet: {', '.join(waiting)}."] if waiting else []), *apart]


def _sure(cell: Cell) -> bool:
    """Whether a bar's error is known: from its seeds, or because no seed changes the model."""
    return cell.ci is not None or cell.sample.constant


def _state(row: Row) -> str:
    return next((cell.state for cell in row.cells.values() if cell.state != "–"), "not begun")
