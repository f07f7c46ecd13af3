"""`toolrl plan`: what would run, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import (
    AsJson,
    Budget,
    MaxParallel,
    Only,
    ProfileName,
    Results,
    Sets,
    SweepPath,
    announce_check,
    note,
)


def plan(
    file: SweepPath,
    sets: Sets = None,
    only: Only = None,
    profile: ProfileName = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Say for every stage why it will or will not run, and for every cell which rule made it.",
        ),
    ] = False,
    max_parallel: MaxParallel = None,
    budget: Budget = None,
    launcher: Annotated[
        str | None,
        typer.Option(
            "--launcher",
            metavar="NAME",
            help="Also show what its queue would be asked for, and what it says; nothing is submitted.",
            autocompletion=completing.launchers,
            show_default=False,
        ),
    ] = None,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Show what a sweep would run, why, and what it takes.

    Stages done, owed, running or blocked; time, GPU-hours, memory and disk; what has changed since.
    """
    from toolrl_cli import api
    from toolrl_cli.commands.views.run_and_show import show_plan

    planned = api.plan(
        file,
        results=results,
        sets=sets or (),
        profile=profile,
        only=only,
        max_parallel=max_parallel,
        budget=budget,
        explain=explain,
        announce=announce_check,
    )
    for line in planned.notes:
        note(line)
    show_plan(planned, as_json=as_json, launcher=launcher)
