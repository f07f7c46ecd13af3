"""`toolrl stop`: end a sweep's attempts in good order."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from toolrl_cli.commands.options import Results, note, results_root

POLL = 0.2


def stop(
    name: Annotated[str, typer.Argument(metavar="SWEEP", help="Its name.", show_default=False)],
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for attempts to end.")] = 60.0,
    results: Results = None,
) -> None:
    """End a sweep's attempts in good order.

    The harness and its attempts are asked to stop; what they have done stays and can go on.
    """
    from toolrl_cli.commands.failures import FAILED
    from toolrl_cli.commands.selecting import saved_sweep
    from toolrl_cli.engine.stopping import stop_sweep
    from toolrl_cli.engine.sweep_folder import SweepFolder

    root = results_root(results)
    attended, asked = stop_sweep(SweepFolder(root, name), saved_sweep(root, name))
    if not asked:
        note(f"{name}: {'its harness was asked to stop' if attended else 'nothing runs'}")
        return
    note(f"{name}: asked {len(asked)} attempts to stop")
    deadline = time.monotonic() + wait
    while (left := [f for f in asked if f.state().active]) and time.monotonic() < deadline:
        time.sleep(POLL)
    for folder in asked:
        note(f"{folder.id}: {folder.state().status}")
    if left:
        note(f"{len(left)} attempts have not ended within {wait:.0f} s; issue the command again, or wait")
        raise typer.Exit(FAILED)
