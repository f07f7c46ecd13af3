"""Showing and running a plan: what `plan`, `sweep` and `resume` share."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from toolrl_cli import api
from toolrl_cli.commands.options import note, print_json
from toolrl_cli.commands.report import print_report
from toolrl_cli.commands.views.grid_views import cells_json, show_cells
from toolrl_cli.commands.views.live import LiveView
from toolrl_cli.commands.views.plan_views import show_outlook
from toolrl_cli.harness.launcher import for_several_nodes
from toolrl_cli.wording import counted

if TYPE_CHECKING:
    from toolrl_cli.api import SweepPlan


def show_plan(planned: SweepPlan, *, as_json: bool, launcher: str | None = None) -> None:
    """Print what would run, why, and what it takes; with `explain` also where the cells come from.

    Raises:
        SpecError: the plan is beyond the budget or the disk, or there is no such launcher.
    """
    found = planned.outlook
    queue = planned.queue(launcher) if launcher is not None else None
    cells = planned.grid if planned.explain else None
    if as_json:
        more = {"cells": cells_json(cells)} if cells is not None else {}
        asked = {"queue": [asdict(request) for request in queue]} if queue is not None else {}
        print_json(found.to_json() | more | asked)
    else:
        if cells is not None and planned.document is not None:
            show_cells(cells, planned.document.source.name, {run.arm for run in planned.runs})
        show_outlook(found, planned.explain)
        for request in queue or ():
            count = counted(request.stages, "stage")
            print(f"\n{', '.join(request.kinds)}, {count}: {request.asks}")
            print(f"  {'refused: ' if request.refused else ''}{request.answer}")
        wide = [stage for stage in planned.chosen.owed if stage.nodes > 1]
        if wide and launcher is None:
            told, able = counted(len(wide), "stage"), for_several_nodes()
            note(f"{told} for several nodes (resources.nodes): {able} gives them, this machine is one")
    found.limits.check()


def run_and_show(
    planned: SweepPlan,
    *,
    launcher: str | None,
    wandb: str | None,
    fail_fast: bool,
    as_json: bool,
    detach: bool = False,
) -> int:
    """Run what a plan owes, see `api.run`, with a live view, and print the report; the exit status."""
    view = LiveView(planned.chosen, planned.results, quiet=as_json)
    outcome = api.run(
        planned, launcher=launcher, wandb=wandb, fail_fast=fail_fast, detach=detach, observe=view
    )
    if detach and not as_json:
        return outcome.exit_status  # there is nothing to be seen yet
    print_report(outcome.report, "json" if as_json else "terminal")
    everything = all(end == "succeeded" for end in outcome.ends.values())
    if everything and not as_json and outcome.folder is not None:
        note(f"tables and curves: {os.path.relpath(outcome.folder)}")
    if outcome.blocked:
        reasons = [f"{why} ({counted(n, 'stage')})" for why, n in outcome.blocked.items()]
        note(f"{outcome.sweep}: not run: {'; '.join(reasons)}")
    if outcome.tracking:
        note(f"warning: {outcome.tracking}")
    return outcome.exit_status
