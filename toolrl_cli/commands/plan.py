"""`toolrl plan`: what would run, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from toolrl_cli.commands.options import AsJson, Only, Results, Sets, SweepPath, print_json, results_root

if TYPE_CHECKING:
    from toolrl_cli.engine.plan import Plan


def plan(
    file: SweepPath,
    sets: Sets = None,
    only: Only = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say for every stage why it will or will not run.")
    ] = False,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Show what a sweep would run, and why.

    Runs and stages: done, owed, running or blocked.
    """
    from toolrl_cli.commands.loading import load_plan

    laid = load_plan(file, results_root(results), sets or ())[0].selected(only)
    if as_json:
        print_json(laid.to_json())
    else:
        show_plan(laid, explain)


def show_plan(laid: Plan, explain: bool) -> None:
    """The plan as tables on the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    runs = Table(title=f"{laid.sweep}: {len(laid.runs)} runs", title_justify="left")
    for header in ("run", "arm", "seed", "stages", "owed"):
        runs.add_column(header, justify="right" if header in ("seed", "owed") else "left")
    for run in laid.runs:
        stages = [laid.stages[s.id] for s in run.stages]
        kinds = " → ".join(s.spec.kind for s in stages)
        runs.add_row(run.id, run.arm, str(run.seed), kinds, str(sum(s.owed for s in stages)))
    console.print(runs)
    if explain:
        table = Table(title="stages", title_justify="left")
        for header in ("stage", "kind", "status", "owed", "reason"):
            table.add_column(header, overflow="fold")
        for stage in laid.stages.values():
            owed = "yes" if stage.owed else "no"
            table.add_row(stage.spec.id, stage.spec.kind, stage.status, owed, stage.reason)
        console.print(table)
    left, total = len(laid.owed), len(laid.stages)
    end = f"{left} owed" if left else "nothing to do"
    console.print(f"{total} stages (equal ones once): {total - left} done, {end}")
