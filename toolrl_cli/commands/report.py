"""`toolrl report`: the comparison tables of one or several sweeps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolrl_cli.commands.options import AsJson, Results, note, print_json, results_root

if TYPE_CHECKING:
    from toolrl_cli.report.api import Report


def report(
    sweeps: Annotated[list[str] | None, typer.Argument(metavar="[SWEEP]…", show_default=False)] = None,
    tables: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="NAME", help="A shipped table or a YAML file; repeatable."),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="terminal, markdown, latex, csv or json.")
    ] = "terminal",
    against: Annotated[
        str | None, typer.Option("--against", metavar="SOURCE", help="Published numbers beside ours: paper.")
    ] = None,
    published_only: Annotated[
        bool, typer.Option("--published-only", help="The printed tables alone; no results are read.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write every format and the curves to this folder.")
    ] = None,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Show the tables that sweeps ask for: mean over seeds, n, interval, and what is missing or failed.

    Without SWEEP, all sweeps under the results root.
    """
    from toolrl_cli.report.api import build_report

    built = build_report(results_root(results), sweeps or (), tables, against, published_only)
    if output is not None:
        for path in built.write_report(output):
            note(f"wrote {path}")
    print_report(built, "json" if as_json else form)


def print_report(built: Report, form: str) -> None:
    """The report on stdout in one format."""
    if form == "json":
        print_json(built.to_json())
    elif form == "terminal":
        from rich.console import Console

        built.show(Console())
    else:
        sys.stdout.write(built.render(form))
