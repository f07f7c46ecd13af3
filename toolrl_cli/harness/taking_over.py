"""Taking over stages from attempts that cannot be seen from here, because their machine or container is gone.

Nobody can tell from outside that a process that cannot be seen has ended; the user says so. What can be seen is
respected: a process that runs, and a heartbeat that moves. An owner that lives after all, with a machine that
slept, finds at its next heartbeat that the lease is another's, and ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from toolrl_cli.attempt.ending import record_end
from toolrl_cli.harness.reach import Reach
from toolrl_cli.store import lease as leases
from toolrl_cli.store.lease import LeaseHeld, LeaseInfo, owner_alive
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.liveness import attempt_alive, lease_alive
from toolrl_cli.store.state import StageState
from toolrl_cli.store.sweep_folder import SweepFolder

WATCH = 20.0
"""Seconds that a heartbeat has to stand still; an attempt writes one every 2 s."""


def unseen(folders: Iterable[StageFolder]) -> list[StageFolder]:
    """Those that are at work somewhere that cannot be seen from here.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    found, reach = [], Reach()
    for folder in folders:
        state = folder.state()
        lease = folder.lease()
        if lease is None and not state.active:
            continue
        alive = _at_work(folder, state, lease, reach)
        if alive is None:
            found.append(folder)
    return found


def _at_work(folder: StageFolder, state: StageState, lease: LeaseInfo | None, reach: Reach) -> bool | None:
    if state.active:
        return attempt_alive(folder, state, alive=reach.alive)
    return lease_alive(reach.alive)(lease) if lease else False


def take_over(
    folders: Iterable[StageFolder], *, watch: float = WATCH, sleep: Callable[[float], None] = time.sleep
) -> dict[str, str]:
    """Write the attempts of these stages down as killed, where none of them shows a sign of life.

    Args:
        folders: from `unseen`.
        watch: seconds between the two looks at each heartbeat.
        sleep: waits so long.

    Returns:
        Stage id → why it was left alone; empty where it was taken over.

    Raises:
        LedgerError: the ledger cannot be read or written.
    """
    before = {folder.id: (folder, folder.lease()) for folder in folders}
    if before:
        sleep(watch)
    return {stage: _taken(folder, lease) for stage, (folder, lease) in before.items()}


def forget_unseen(folder: SweepFolder) -> int:
    """Remove the records of a sweep's harnesses that cannot be seen from here; how many there were.

    Raises:
        LedgerError: the file system refuses.
    """
    return folder.forget(lambda harness: harness.alive() is None)


def _taken(folder: StageFolder, seen: LeaseInfo | None) -> str:
    now = folder.lease()
    if now != seen:
        return f"its heartbeat moves: {now.owner or 'its owner'} lives" if now else "it has ended by now"

    def dead(info: LeaseInfo) -> bool | None:
        alive = owner_alive(info)
        return False if alive is None and seen is not None and info.token == seen.token else alive

    try:
        lease = leases.take(folder.path, purpose="launch", alive=dead)
    except LeaseHeld as held:
        return str(held)
    with lease:
        state = folder.state()
        if state.active:
            record_end(folder, lease, state)
    return ""
