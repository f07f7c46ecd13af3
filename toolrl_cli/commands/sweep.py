"""`toolrl sweep`: run what a sweep still owes, then show its table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolrl_cli.commands.options import (
    AsJson,
    Launcher,
    MaxParallel,
    Only,
    Results,
    Sets,
    SweepPath,
    WandbMode,
    results_root,
)

AllowImperfectGold = Annotated[
    bool,
    typer.Option(
        "--allow-imperfect-gold",
        help="Train although gold answers score below their maximum (as --set rl.allow_imperfect_gold=true).",
    ),
]


def sweep(
    file: SweepPath,
    sets: Sets = None,
    only: Only = None,
    max_parallel: MaxParallel = None,
    launcher: Launcher = "local",
    wandb: WandbMode = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop everything when one stage has failed for good.")
    ] = False,
    allow_imperfect_gold: AllowImperfectGold = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print exactly what would run, and run nothing.")
    ] = False,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Run what a sweep still owes: same file again, only the rest runs. Ends with the sweep's table."""
    from toolrl_cli.commands.execution import Execution, execute
    from toolrl_cli.commands.loading import load_plan
    from toolrl_cli.commands.options import print_json
    from toolrl_cli.commands.plan import show_plan

    root = results_root(results)
    allowed = ["rl.allow_imperfect_gold=true"] if allow_imperfect_gold else []
    plan, document = load_plan(file, root, [*(sets or ()), *allowed])
    chosen = plan.selected(only)
    if dry_run:
        if as_json:
            print_json(chosen.to_json())
        else:
            show_plan(chosen, explain=True)
        return
    text = Path(document.path).read_text(encoding="utf-8")
    options = Execution(root, launcher, max_parallel, wandb, fail_fast, as_json)
    raise typer.Exit(execute(plan, chosen, text, options))
