"""How the cells of a sweep came about, as a table and as JSON: the rule that added or dropped each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolrl_cli.commands.views.consoles import stdout_console
from toolrl_cli.wording import counted

if TYPE_CHECKING:
    from collections.abc import Container

    from toolrl_cli.spec.sweeps.grid import Dropped, Grid

MOST = 200
"""Rows of each kind on a terminal; nobody reads more, and a large grid would take minutes to draw."""

WORDS = {
    "exclude": "left out",
    "when": "axis does not apply",
    "profile": "equal",
}


def cells_json(grid: Grid) -> list[dict[str, Any]]:
    """The `cells` of `plan --explain --json`: kept ones first, then dropped ones."""
    kept = [
        {
            "arm": cell.arm,
            "settings": dict(cell.settings),
            "kept": True,
            "from": [choice.place for choice in cell.choices],
            "rule": None,
            "where": None,
            "same_as": None,
        }
        for cell in grid.cells
    ]
    dropped = [
        {
            "arm": cell.arm,
            "settings": dict(cell.settings),
            "kept": False,
            "from": cell.origin.split(" × "),
            "rule": cell.rule,
            "where": cell.where,
            "same_as": cell.same_as or None,
        }
        for cell in grid.dropped
    ]
    return [*kept, *dropped]


def show_cells(grid: Grid, name: str, arms: Container[str]) -> None:
    """The same as a table on the terminal.

    Args:
        grid: the cells.
        name: of the file; places in it are told by their line alone.
        arms: those chosen; of kept cells only theirs are shown.
    """
    from rich.table import Table
    from rich.text import Text

    chosen = [cell for cell in grid.cells if cell.arm in arms]
    shown = [(Text(c.arm), Text(_short(c.origin, name)), Text("")) for c in chosen[:MOST]]
    shown += [
        (Text(o.arm, "dim"), Text(_short(o.origin, name), "dim"), Text(_short(_why(o), name)))
        for o in grid.dropped[:MOST]
    ]
    title = f"{name}: {counted(len(grid.cells), 'cell', ',')}" + (
        f", {len(grid.dropped)} dropped" if grid.dropped else ""
    )
    if len(chosen) < len(grid.cells):
        title += f"; --only keeps {len(chosen)}"
    table = Table(box=None, pad_edge=False)
    for header in ("cell", "made by", "dropped by"):
        table.add_column(header, overflow="fold")
    for row in shown:
        table.add_row(*row)
    console = stdout_console()
    console.print(title, markup=False)
    console.print(table)
    left = len(chosen) + len(grid.dropped) - len(shown)
    if left:
        console.print(f"… and {left} more: plan --explain --json lists them all")
    console.print()


def _short(origin: str, name: str) -> str:
    return origin.replace(f"{name}: ", "").replace(f"{name}:", "line ")


def _why(out: Dropped) -> str:
    return f"{WORDS[out.rule]}: {out.where}" + (f"; it is {out.same_as}" if out.same_as else "")
