"""`toolrl sweep`: run what a sweep still owes, then show its table."""

from __future__ import annotations

from typing import Annotated

import typer

from toolrl_cli.commands.options import (
    AllowImperfectGold,
    AsJson,
    Budget,
    Detach,
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
    note,
)


def sweep(
    file: SweepPath,
    sets: Sets = None,
    only: Only = None,
    profile: ProfileName = None,
    max_parallel: MaxParallel = None,
    budget: Budget = None,
    launcher: Launcher = None,
    detach: Detach = False,
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
    from toolrl_cli.api import plan
    from toolrl_cli.commands.views.run_and_show import run_and_show, show_plan

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
        fetch=not dry_run,
    )
    for line in planned.notes:
        note(line)
    if dry_run:
        return show_plan(planned, as_json=as_json)
    raise typer.Exit(
        run_and_show(
            planned, launcher=launcher, detach=detach, wandb=wandb, fail_fast=fail_fast, as_json=as_json
        )
    )
