"""`toolrl status`: where the stages of a sweep stand."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from toolrl_cli.commands.options import AsJson, Results, SweepName, print_json
from toolrl_cli.commands.views.clock import duration

if TYPE_CHECKING:
    from rich.table import Table

    from toolrl_cli.planning.sweep_status import RunStatus, SweepStatus

MARKS = {
    "succeeded": "green",
    "running": "cyan",
    "queued": "cyan",
    "failed": "red",
    "stopped": "yellow",
    "pending": "dim",
    "unreadable": "red",  # no status, but what the table says where the file system does not give one
}
HEADERS = ("run", "stage", "status", "step", "attempts", "what")
NUMBERS = ("step", "attempts")
REFRESH = 2.0  # seconds
NARROW = 80  # columns below which there is no room for everything
RICH_ROWS = 200  # a longer table is printed line by line, at once


@dataclass(frozen=True)
class Standing:
    """What the table says: a title, a row for each run in the order of `HEADERS`, and a line below, or none."""

    title: str
    rows: list[tuple[str, ...]]
    below: str = ""


def status(
    name: SweepName = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every two seconds until Ctrl-C.")] = False,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Show where a sweep's runs stand.

    Stage, step, attempts and failure of each run.
    """
    from toolrl_cli import api
    from toolrl_cli.errors import SpecError

    if watch and as_json:
        raise SpecError("--json prints one document", "--watch", "leave one of the two out")
    found = api.status(name, results=results)
    if as_json:
        print_json(found.to_json())
    elif watch:
        try:
            _watch(standing(found), lambda: standing(found.refreshed()))
        except KeyboardInterrupt:  # the way to leave it
            return
    else:
        _print(standing(found))


def _print(found: Standing) -> None:
    """A table on a terminal; aligned lines that no width breaks for pipes, and for tables of any length."""
    if not sys.stdout.isatty() or len(found.rows) > RICH_ROWS:
        sys.stdout.write(_lines(found))
        return
    from rich.console import Console

    console = Console()
    console.print(_table(found, console.width))


def _watch(found: Standing, look: Callable[[], Standing]) -> None:
    if not sys.stdout.isatty():
        while True:
            sys.stdout.write(_lines(found) + "\n")
            sys.stdout.flush()
            before = found
            while found == before:
                time.sleep(REFRESH)
                found = look()
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        while True:
            live.update(_table(found, live.console.width), refresh=True)
            time.sleep(REFRESH)
            found = look()


def standing(found: SweepStatus) -> Standing:
    """The table: where each run stands."""
    return Standing(found.title, [_row(run) for run in found.runs], found.tracking)


def _row(run: RunStatus) -> tuple[str, ...]:
    position = f"{run.position}/{len(run.run.stages)}" + ("" if run.done else f" {run.stage.kind}")
    step = f"{run.progress.step}/{run.progress.total or '?'}" if run.progress else ""
    started = run.state.started if run.status == "running" and not run.progress else None
    clock = "" if started is None else f"for {duration(max(0.0, time.time() - started))}"
    return run.run.id, position, run.status, step, str(run.attempts or ""), run.what or clock


def _table(found: Standing, width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=found.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.caption, table.caption_justify = Text(found.below) if found.below else None, "left"
    shown = [n for n, header in enumerate(HEADERS) if width >= NARROW or header != "attempts"]
    for header in (HEADERS[n] for n in shown):
        table.add_column(header, overflow="fold", justify="right" if header in NUMBERS else "left")
    for row in found.rows:
        table.add_row(*(Text(row[n], MARKS[row[n]] if HEADERS[n] == "status" else "") for n in shown))
    return table


def _lines(found: Standing) -> str:
    rows: list[tuple[str, ...]] = [HEADERS, *found.rows]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEADERS))]
    aligned = (
        "  ".join(
            cell.rjust(width) if header in NUMBERS else cell.ljust(width)
            for header, cell, width in zip(HEADERS, row, widths, strict=True)
        ).rstrip()
        for row in rows
    )
    below = [found.below] if found.below else []
    return "\n".join([found.title, *aligned, *below, ""])
