"""`toolrl resume`: go on with a sweep whose file is not at hand, by its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from toolrl_cli.commands.options import (
    AsJson,
    Launcher,
    MaxParallel,
    Only,
    Results,
    SweepName,
    WandbMode,
    results_root,
)
from toolrl_cli.commands.sweep import AllowImperfectGold

if TYPE_CHECKING:
    from toolrl_cli.engine.plan import PlannedRun
    from toolrl_cli.spec.stage import StageSpec


def resume(
    name: SweepName = None,
    only: Only = None,
    max_parallel: MaxParallel = None,
    launcher: Launcher = "local",
    wandb: WandbMode = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop everything when one stage has failed for good.")
    ] = False,
    allow_imperfect_gold: AllowImperfectGold = False,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a sweep by its name.

    Runs what is still owed, from the plan that was frozen when it was started.
    """
    from toolrl_cli.commands.execution import Execution, execute
    from toolrl_cli.commands.selecting import saved_sweep
    from toolrl_cli.engine.ledger import Ledger
    from toolrl_cli.engine.plan import lay_out

    root = results_root(results)
    saved = saved_sweep(root, name)
    runs = _allowing(saved.runs) if allow_imperfect_gold else saved.runs
    plan = lay_out(saved.name, runs, Ledger(root), tables=saved.tables)
    options = Execution(root, launcher, max_parallel, wandb, fail_fast, as_json)
    raise typer.Exit(execute(plan, plan.selected(only), None, options))


def _allowing(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """The frozen runs with RL stages that train on imperfect gold; their ids stay."""
    return [replace(run, stages=tuple(_allowed(stage) for stage in run.stages)) for run in runs]


def _allowed(stage: StageSpec) -> StageSpec:
    if stage.kind != "rl":
        return stage
    return replace(stage, config={**stage.config, "rl": {**stage.config["rl"], "allow_imperfect_gold": True}})
