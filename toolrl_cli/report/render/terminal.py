"""Tables for the terminal (rich) and for pipes: plain text, with a sign instead of bold for the best."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from toolrl_cli.report.model import Table
from toolrl_cli.report.render.shown import Line, Shown, lines, notes_under

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

BEST = "▸"
_GAP = 2
"""Spaces between columns; one of them is the box's own."""

_MAX_LABEL = 34
"""Largest width of the labels, if the numbers need the rest of the line."""


def render(tables: Sequence[Table], width: int = 100, styled: bool = False) -> str:
    """The tables as text of at most `width` columns, with terminal codes if `styled`."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=styled, color_system="standard" if styled else None,
        legacy_windows=False, highlight=False,
    )  # fmt: skip
    _print(tables, console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def show(tables: Sequence[Table], console: Console) -> None:
    """Print the tables in the console's width; in a pipe, without trailing spaces."""
    if console.is_terminal:
        _print(tables, console)
    else:
        console.file.write(render(tables, console.width))


def _print(tables: Sequence[Table], console: Console) -> None:
    for position, table in enumerate(tables):
        if position:
            console.print()
        for part in _parts(table, console.width, console.is_terminal and not console.no_color):
            console.print(part, soft_wrap=False, highlight=False)


def _parts(table: Table, width: int, styled: bool) -> Iterator[RenderableType]:
    from rich.table import Table as RichTable
    from rich.text import Text

    yield Text(table.title, style="bold")
    body = list(lines(table))
    widths = _widths(table, body, styled, stacked=False)
    stacked = sum(widths) + _GAP * (len(widths) - 1) > width
    if stacked:
        widths = _widths(table, body, styled, stacked)
    longest = _label_width(body)
    spare = width - sum(widths) - _GAP * (len(widths) - 1)
    widths[0] = min(longest, max(widths[0], widths[0] + spare))
    for columns in _blocks(widths, width):
        yield _grid(table, body, columns, widths, styled, stacked)
    notes = RichTable.grid(padding=(0, 1, 0, 0))  # a column for the signs, so that wrapped lines are indented
    for note in notes_under(table, "Bold" if styled else BEST, "underlined" if styled else ""):
        notes.add_row("·", Text(note), style="dim" if styled else "")
    yield notes


def _grid(
    table: Table,
    body: Sequence[Line],
    columns: Sequence[int],
    widths: Sequence[int],
    styled: bool,
    stacked: bool,
) -> RenderableType:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    grid.add_column("", width=widths[0], overflow="fold")
    for index in columns:
        label = Text(table.columns[index].label)
        grid.add_column(label, justify="right", width=widths[index + 1], overflow="fold")
    group = ""
    for line in body:
        if line.group != group:
            group = line.group
            grid.add_row(Text(group, style="italic"), *[""] * len(columns))
        if line.sub and not any(line.cells[i].main for i in columns):
            continue
        indent = "    " if line.sub else "  " if group else ""
        name = Text(indent + line.label, style="dim" if line.sub else "")
        grid.add_row(name, *(_styled(line.cells[i], styled, stacked) for i in columns))
    return grid


def _styled(cell: Shown, styled: bool, stacked: bool) -> RenderableType:
    from rich.text import Text

    text = _plain(cell, styled, stacked)
    if cell.best:
        return Text(text, style="bold green")
    if cell.second:
        return Text(text, style="underline")
    if cell.main.startswith(("failed", "unreadable", "mixed", "ambiguous")):
        return Text(text, style="red")
    return Text(text, style="dim" if cell.faded else "")


def _plain(cell: Shown, styled: bool, stacked: bool) -> str:
    mark = BEST if cell.best and not styled else ""
    return mark + (cell.text.replace(" ", "\n", 1) if stacked and cell.spread else cell.text)


def _widths(table: Table, body: Sequence[Line], styled: bool, stacked: bool) -> list[int]:
    """Width of the label column, then of each other column; stacked cells may wrap at spaces."""
    widths = [min(_MAX_LABEL, _label_width(body))]
    for index, head in enumerate(table.columns):
        texts = [head.label, *(_plain(line.cells[index], styled, stacked) for line in body)]
        widths.append(max(len(piece) for text in texts for piece in _pieces(text, stacked)))
    return widths


def _label_width(body: Sequence[Line]) -> int:
    """Width of the longest label or group name."""
    from rich.cells import cell_len

    indent = 2 if any(line.group for line in body) else 0
    labels = [cell_len(line.label) + (4 if line.sub else indent) for line in body]
    return max([1, *labels, *(cell_len(line.group) for line in body)])


def _pieces(text: str, stacked: bool) -> list[str]:
    """The pieces that must not be wrapped: the whole text, or if stacked, intervals and single words."""
    if not stacked:
        return [text]
    return [p for part in text.split("\n") for p in ([part] if part[:1] in "±(" else part.split(" "))] or [""]


def _blocks(widths: Sequence[int], width: int) -> list[list[int]]:
    """The columns in as few blocks as possible that fit beside the labels."""
    start = widths[0] + _GAP
    blocks: list[list[int]] = [[]]
    used = start
    for index, needed in enumerate(widths[1:]):
        if blocks[-1] and used + needed > width:
            blocks.append([])
            used = start
        blocks[-1].append(index)
        used += needed + _GAP
    return blocks
