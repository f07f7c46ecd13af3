"""Stopping a sweep from another terminal."""

from __future__ import annotations

import signal

from toolrl_cli.engine.aftermath import attempt_alive
from toolrl_cli.engine.ledger import Ledger, StageFolder
from toolrl_cli.engine.sweep_folder import SavedSweep, SweepFolder
from toolrl_cli.processes.identity import ProcessId
from toolrl_cli.processes.tree import send


def stop_sweep(folder: SweepFolder, saved: SavedSweep) -> tuple[bool, list[StageFolder]]:
    """Ask the sweep's harness to stop, and the attempts that no harness looks after.

    A harness passes the request on to its attempts and starts nothing more. Only processes of this machine are
    reached, and only ones that are recorded with their start time.

    Returns:
        Whether a harness was asked, and the stages that have an attempt under way.
    """
    harness = folder.harness()
    attended = harness is not None and harness.alive() is True
    if harness is not None and attended:
        send(harness, signal.SIGTERM)
    ledger = Ledger(folder.results)
    running = []
    for spec in saved.stages.values():
        stage = ledger.folder(spec)
        state = stage.state()
        if not state.active or attempt_alive(stage, state) is False:
            continue
        running.append(stage)
        if not attended and state.launcher is not None and "pid" in state.launcher:
            send(ProcessId.from_json(state.launcher), signal.SIGTERM)
    return attended, running
