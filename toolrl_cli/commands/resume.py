"""`toolrl resume`: go on with a sweep whose file is not at hand, by its name."""

from __future__ import annotations

from typing import Annotated

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


def resume(
    name: SweepName = None,
    only: Only = None,
    max_parallel: MaxParallel = None,
    launcher: Launcher = "local",
    wandb: WandbMode = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop everything when one stage has failed for good.")
    ] = False,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Run what a sweep still owes, from the plan that was frozen when it was started."""
    from toolrl_cli.commands.execution import Execution, execute
    from toolrl_cli.commands.selecting import saved_sweep
    from toolrl_cli.engine.ledger import Ledger
    from toolrl_cli.engine.plan import lay_out

    root = results_root(results)
    saved = saved_sweep(root, name)
    plan = lay_out(saved.name, saved.runs, Ledger(root), tables=saved.tables)
    options = Execution(root, launcher, max_parallel, wandb, fail_fast, as_json)
    raise typer.Exit(execute(plan, plan.selected(only), None, options))
