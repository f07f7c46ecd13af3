"""`toolrl doctor`: is this machine fit, and what mends it."""

from __future__ import annotations

import typer

from toolrl_cli.commands.exit_status import FAILED
from toolrl_cli.commands.options import AsJson, Results, print_json, results_root
from toolrl_cli.store.schemas import PRINTED

MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}


def doctor(results: Results = None, as_json: AsJson = False) -> None:
    """Check this machine; say what mends each fault.

    Python, verl, torch, CUDA, GPUs, vLLM, Ray, Slurm, W&B, disk, limits and data.
    """
    from toolrl_cli.housekeeping.health.checks import run_checks, worst

    checks = run_checks(results_root(results))
    if as_json:
        print_json({"schema": PRINTED, "checks": [c.to_json() for c in checks]})
    else:
        from rich.markup import escape
        from rich.table import Table

        from toolrl_cli.commands.views.consoles import stdout_console

        table = Table(box=None, pad_edge=False)
        for header in ("check", "", "found", "what mends it"):
            table.add_column(header, overflow="fold")
        for check in checks:
            table.add_row(check.name, MARKS[check.standing], escape(check.found), escape(check.fix))
        stdout_console().print(table)
    if worst(checks) == "error":
        raise typer.Exit(FAILED)
