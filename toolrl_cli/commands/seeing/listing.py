"""`toolrl list`: which sweeps there are, and the runs of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import AsJson, Results, print_json
from toolrl_cli.commands.seeing.show import score_text
from toolrl_cli.commands.views.consoles import stdout_console

MAIN = ("overall", "accuracy")
"""The column that stands for a benchmark, where it has one of these; else its first."""


def list_sweeps(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="SWEEP",
            help="Its name; default: all sweeps.",
            autocompletion=completing.sweeps,
            show_default=False,
        ),
    ] = None,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """List sweeps; with SWEEP its runs, with settings and scores.

    Those with results, those of this folder and its sweeps/, and those that come with toolrl.
    """
    from toolrl_cli.api import listing

    found = listing.list_sweeps(results=results) if name is None else listing.list_runs(name, results=results)
    if as_json:
        print_json(found)
    elif name is None:
        _print_sweeps(found)
    else:
        _print_runs(found)


def _print_sweeps(found: dict[str, Any]) -> None:
    started = [(row["name"], _progress(row)) for row in found["results"]]
    for title, rows in (
        ("with results", started),
        ("files here", [(row["name"], row["fault"] or row["about"]) for row in found["files"]]),
        ("that come with toolrl", [(row["name"], row["about"]) for row in found["shipped"]]),
    ):
        if rows:
            _print((title, ""), rows)


def _progress(row: dict[str, Any]) -> str:
    if row["fault"]:
        return f"unreadable: {row['fault']}"
    work = ", at work" if row["harnesses"] else ""
    return f"{row['runs']} runs, {row['done']} of {row['stages']} stages done{work}"


def _print_runs(found: dict[str, Any]) -> None:
    benchmarks = list(dict.fromkeys(name for run in found["runs"] for name in run["scores"]))
    columns = {name: _column(found["runs"], name) for name in benchmarks}
    headers = ("run", "status", "settings", *(f"{name} {columns[name]}".strip() for name in benchmarks))
    rows = []
    for run in found["runs"]:
        settings = ", ".join(f"{key}={value}" for key, value in run["settings"].items())
        stage = "" if run["status"] == "succeeded" else f"{run['stage']} "
        values = (
            {
                "value": run["scores"].get(name, {}).get(columns[name]),
                "why": run["faults"].get(f"{name}/{columns[name]}", run["faults"].get(name)),
                "unit": found["units"].get(name, {}).get(columns[name]),
            }
            for name in benchmarks
        )
        rows.append((run["id"], stage + run["status"], settings, *map(score_text, values)))
    _print(headers, rows)


def _column(runs: list[dict[str, Any]], benchmark: str) -> str:
    names = list(dict.fromkeys(name for run in runs for name in run["scores"].get(benchmark, {})))
    return next((name for name in MAIN if name in names), names[0] if names else "")


def _print(headers: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, header in enumerate(headers):
        table.add_column(
            header, overflow="fold", no_wrap=number == 0, justify="right" if number > 2 else "left"
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console = stdout_console()
    console.print(table)
    console.print()
