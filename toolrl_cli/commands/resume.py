"""`toolrl resume`: go on with a sweep whose file is not at hand, by its name."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import (
    AllowImperfectGold,
    AsJson,
    Budget,
    Detach,
    FailFast,
    Launcher,
    MaxParallel,
    Only,
    Results,
    SweepName,
    WandbMode,
)


def resume(
    name: SweepName = None,
    only: Only = None,
    failed: Annotated[
        bool,
        typer.Option("--failed", help="Only stages whose last attempt failed, and what depends on them."),
    ] = False,
    stage: Annotated[
        str | None,
        typer.Option(
            "--stage",
            metavar="ID|KIND",
            help="Only this stage, or this kind (sft, rl, export, evaluate), and what it needs.",
            autocompletion=completing.stages,
            show_default=False,
        ),
    ] = None,
    from_step: Annotated[
        int | None,
        typer.Option(
            "--from-step",
            metavar="N",
            min=1,
            help="RL stages go on from step N's checkpoint.",
            show_default=False,
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start the stages anew; what they have is set aside.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Set a whole sweep back without asking.")] = False,
    max_parallel: MaxParallel = None,
    budget: Budget = None,
    launcher: Launcher = None,
    detach: Detach = False,
    wandb: WandbMode = None,
    fail_fast: FailFast = False,
    allow_imperfect_gold: AllowImperfectGold = False,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a sweep by its name.

    Runs what is still owed, from the plan that was frozen when it was started. --from-step and --fresh set
    stages back first, with all that reads them; nothing is deleted.
    """
    from toolrl_cli.api import plan_resume
    from toolrl_cli.commands.views.run_and_show import run_and_show

    planned = plan_resume(
        name,
        results=results,
        only=only,
        failed=failed,
        stage=stage,
        from_step=from_step,
        fresh=fresh,
        allow_imperfect_gold=allow_imperfect_gold,
        max_parallel=max_parallel,
        budget=budget,
        confirm=_sure if yes else _ask if sys.stdin.isatty() else None,
    )
    raise typer.Exit(
        run_and_show(
            planned, launcher=launcher, detach=detach, wandb=wandb, fail_fast=fail_fast, as_json=as_json
        )
    )


def _sure(what: str) -> bool:
    return True


def _ask(what: str) -> bool:
    return typer.confirm(f"Set back {what}?", err=True)
