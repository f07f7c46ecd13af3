"""`toolrl sync`: bring Weights & Biases up to date with the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from toolrl_cli.commands import completing
from toolrl_cli.commands.options import Results, SweepName, WandbMode, note, results_root

if TYPE_CHECKING:
    from toolrl_cli.tracking.sync import Synced


def sync(
    name: SweepName = None,
    wandb: WandbMode = None,
    rebuild: Annotated[
        str | None,
        typer.Option(
            "--rebuild",
            metavar="RUN",
            autocompletion=completing.own_runs,
            help="Tell this run from its beginning, as a new W&B run without steps that were trained again.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")
    ] = False,
    results: Results = None,
) -> None:
    """Bring W&B up to date with the files.

    Asks W&B what it has of each run, and sends what is missing. Nothing is sent twice.
    """
    from toolrl_cli.commands.views.exit_status import FAILED
    from toolrl_cli.errors import ToolrlError
    from toolrl_cli.store.roots import command
    from toolrl_cli.store.sweep_folder import saved_sweep
    from toolrl_cli.tracking.place import choose_mode

    root = results_root(results)
    saved = saved_sweep(root, name)
    mode = choose_mode(wandb, saved.tracking)
    lacking = ""
    if saved.tracking.get("loggers") and not dry_run and rebuild is None:
        from toolrl_cli.tracking.loggers.feed import sync_loggers

        try:
            lacking = sync_loggers(saved, root)
        except ToolrlError as error:  # W&B is brought up to date all the same
            lacking = str(error)
        note(f"{', '.join(saved.tracking['loggers'])}: {lacking or 'up to date'}")
    if mode == "disabled":
        note("W&B is disabled (--wandb, the sweep's tracking.mode or $WANDB_MODE): nothing is sent")
        if lacking:
            raise typer.Exit(FAILED)
        return
    from toolrl_cli.tracking.sync import sync as bring

    total, told = len(saved.runs) if rebuild is None else 1, 0

    def each(synced: Synced) -> None:
        nonlocal told
        told += 1
        note(f"[{told}/{total}] {synced.run}: {synced.what}")

    found = bring(saved, root, mode, rebuild=rebuild, dry_run=dry_run, each=each)
    if mode == "offline":
        again = command("sync", saved.name, "--wandb", "online", results=root)
        note(f"kept offline below wandb/ of the results; `wandb login`, then `{again}`, sends them")
    if lacking or any(synced.failed for synced in found):
        raise typer.Exit(FAILED)
