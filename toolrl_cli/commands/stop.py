"""`toolrl stop`: end a sweep's attempts in good order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from toolrl_cli.commands.options import Results, note, results_root

if TYPE_CHECKING:
    from toolrl_cli.harness.stopping import Stopping
    from toolrl_cli.store.ledger import StageFolder

POLL = 0.2
KILLED = 10.0  # seconds that killed processes may take to be gone


def stop(
    name: Annotated[str, typer.Argument(metavar="SWEEP", help="Its name.", show_default=False)],
    grace: Annotated[
        float,
        typer.Option("--grace", min=0, metavar="SECONDS", help="So long until what has not ended is killed."),
    ] = 60.0,
    results: Results = None,
) -> None:
    """End a sweep's attempts in good order.

    All harnesses of the sweep and their attempts are asked to stop. Training goes on from the last checkpoint.
    """
    from toolrl_cli.commands.exit_status import FAILED
    from toolrl_cli.errors import LedgerError
    from toolrl_cli.harness.stopping import stop_sweep
    from toolrl_cli.store.sweep_folder import SweepFolder, saved_sweep

    root = results_root(results)
    unreadable: LedgerError | None = None
    try:
        saved = saved_sweep(root, name)
    except LedgerError as error:  # its harnesses can be reached all the same
        saved, unreadable = None, error
    stopping = stop_sweep(SweepFolder(root, name), saved)
    for stage, why in stopping.others.items():
        note(f"{stage}: left alone; {why}")
    if unreadable is not None and not stopping.harnesses:
        raise unreadable
    if not stopping.harnesses and not stopping.asked:
        note(f"{name}: nothing {'else ' if stopping.others else ''}runs")
        return
    told = [_count(len(stopping.harnesses), "harness", "es")] if stopping.harnesses else []
    told += [_count(len(stopping.asked), "attempt", "s")] if stopping.asked else []
    note(f"{name}: asked {' and '.join(told)} to stop")
    left = _wait(stopping, grace)
    if left:
        note(f"{name}: {_count(len(left), 'attempt', 's')} did not end within {grace:g} s; killing")
        stopping.kill()
        left = _wait(stopping, KILLED)
    for folder in stopping.asked:
        note(f"{folder.id}: {folder.state().status}")
    if left:
        note(f"{name}: what still runs does not die; see `ps` and `dmesg`")
        raise typer.Exit(FAILED)
    if unreadable is not None:
        note(f"error: {unreadable}; attempts that no harness looks after were not looked for")
        raise typer.Exit(FAILED)
    note(f"`toolrl resume {name}` goes on from the last checkpoints")


def _wait(stopping: Stopping, seconds: float) -> list[StageFolder]:
    """Wait for everything asked to end; what has not."""
    deadline = time.monotonic() + seconds
    while (left := stopping.settle()) and time.monotonic() < deadline:
        time.sleep(POLL)
    return left


def _count(number: int, word: str, plural: str) -> str:
    return f"{number} {word}{plural if number != 1 else ''}"
