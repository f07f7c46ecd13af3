"""`toolrl sweep`: run what a sweep still owes, then show its table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolrl_cli.commands.options import (
    AllowImperfectGold,
    AsJson,
    Budget,
    FailFast,
    Launcher,
    MaxParallel,
    Only,
    ProfileName,
    Results,
    Sets,
    SweepPath,
    WandbMode,
    announce_check,
)


def sweep(
    file: SweepPath,
    sets: Sets = None,
    only: Only = None,
    profile: ProfileName = None,
    max_parallel: MaxParallel = None,
    budget: Budget = None,
    launcher: Launcher = "local",
    wandb: WandbMode = None,
    fail_fast: FailFast = False,
    allow_imperfect_gold: AllowImperfectGold = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print exactly what would run, and run nothing.")
    ] = False,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Run what a sweep still owes: same file again, only the rest runs. Ends with the sweep's table."""
    from toolrl_cli.api.plans import plan
    from toolrl_cli.api.running import Execution
    from toolrl_cli.commands.options import note, print_json
    from toolrl_cli.commands.views.grid_views import cells_json, show_cells
    from toolrl_cli.commands.views.plan_views import show_outlook
    from toolrl_cli.commands.views.run_and_show import run_and_show

    allowed = ["rl.allow_imperfect_gold=true"] if allow_imperfect_gold else []
    planned = plan(
        file,
        results=results,
        sets=[*(sets or ()), *allowed],
        profile=profile,
        only=only,
        max_parallel=max_parallel,
        budget=budget,
        explain=True,
        announce=announce_check,
    )
    loaded = planned.loaded
    for line in planned.notes:
        note(line)
    if dry_run:
        found = planned.outlook
        if as_json:
            print_json(found.to_json() | {"cells": cells_json(loaded.grid)})
        else:
            show_cells(loaded.grid, loaded.document.source.name, {run.arm for run in found.plan.runs})
            show_outlook(found, explain=True)
        found.limits.check()
        return
    text = Path(loaded.document.path).read_text(encoding="utf-8")
    options = Execution(planned.results, launcher, max_parallel, wandb, fail_fast, budget)
    raise typer.Exit(run_and_show(loaded.plan, planned.chosen, text, options, as_json=as_json))
