"""`toolrl sync`: bring Weights & Biases up to date with the files."""

from __future__ import annotations

import typer

from toolrl_cli.commands.options import Results, SweepName, WandbMode, note, results_root


def sync(name: SweepName = None, wandb: WandbMode = None, results: Results = None) -> None:
    """Bring W&B up to date with the files.

    Sends steps that are not there yet, and scores. Nothing is sent twice.
    """
    from toolrl_cli.commands.views.exit_status import FAILED
    from toolrl_cli.errors import TrackingError
    from toolrl_cli.harness.publishing import tracked
    from toolrl_cli.store.ledger import Ledger
    from toolrl_cli.store.sweep_folder import saved_sweep
    from toolrl_cli.tracking.wandb_runs import choose_mode, publish

    root = results_root(results)
    saved = saved_sweep(root, name)
    mode = choose_mode(wandb)
    faults = 0
    for run in saved.runs:
        try:
            note(f"{run.id}: {publish(tracked(run, Ledger(root)), root, mode)} ({mode})")
        except TrackingError as error:
            faults += 1
            note(f"error: {error}")
    if faults:
        raise typer.Exit(FAILED)
