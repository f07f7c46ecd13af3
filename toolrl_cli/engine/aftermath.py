"""What is left to do after an attempt that could not do it itself: killed, crashed, or lost with its machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.engine import lease as leases
from toolrl_cli.engine.adjusting import adjusted, with_memory_hint
from toolrl_cli.engine.failures import Failure
from toolrl_cli.engine.files import read_json, sweep_temporaries, write_json
from toolrl_cli.engine.launchers.base import HandleAlive, lease_alive, local_alive
from toolrl_cli.engine.lease import Lease, LeaseHeld
from toolrl_cli.engine.ledger import StageFolder
from toolrl_cli.engine.state import StageState
from toolrl_cli.errors import LedgerError
from toolrl_cli.processes.identity import ProcessId
from toolrl_cli.processes.tree import descendants, kill, marked

PROCESSES = "processes.json"


def observed(folder: StageFolder, *, alive: HandleAlive = local_alive) -> StageState:
    """The state as it is now: an attempt that is written down as running and known to be dead has been killed.

    Nothing is written. An attempt of which nothing can be known from here still counts as running.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    state = folder.state()
    if not state.active or attempt_alive(folder, state, alive=alive) is not False:
        return state
    again = folder.state()  # it may have ended in good order between the two looks
    if again != state:
        return again
    return state.over("failed", Failure.of("killed", f"attempt {state.attempt} ended without a word"))


def attempt_alive(folder: StageFolder, state: StageState, *, alive: HandleAlive = local_alive) -> bool | None:
    """Whether the attempt that an active state tells of still runs; None when that cannot be known.

    The lease tells it once the attempt has it, the launcher's handle before.
    """
    lease = folder.lease()
    held = lease_alive(alive)(lease) if lease and lease.purpose == "attempt" else False
    if held is not False:
        return held
    return alive(state.launcher) if state.launcher else False


def settle(
    folder: StageFolder,
    attempt: int,
    *,
    returncode: int | None = None,
    asked_to_stop: bool = False,
    alive: HandleAlive = local_alive,
) -> StageState | None:
    """Write down how an attempt ended that is known to have ended, unless it did so itself.

    Args:
        folder: the stage.
        attempt: the attempt's number.
        returncode: how its process ended, where that is known.
        asked_to_stop: it was ended on request, so the stage counts as stopped and not as failed.
        alive: see `observed`.

    Returns:
        The state now; None while another process holds the stage.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    state = folder.state()
    if not state.active or state.attempt != attempt:
        return state
    try:
        lease = leases.take(folder.path, purpose="launch", alive=lease_alive(alive))
    except LeaseHeld:
        return None
    with lease:
        state = folder.state()
        if not state.active or state.attempt != attempt:
            return state
        return record_end(folder, lease, state, returncode=returncode, asked_to_stop=asked_to_stop)


def record_end(
    folder: StageFolder,
    lease: Lease,
    state: StageState,
    *,
    returncode: int | None = None,
    asked_to_stop: bool = False,
) -> StageState:
    """The same with the lease in hand: leftovers are killed, then the end is classified and written.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    end_leftovers(folder)
    if asked_to_stop:
        state = state.over("stopped")
    else:
        # an attempt in good order imports this module too, and has no use for the patterns
        from toolrl_cli.engine.classify import classify

        failure = classify(folder.attempt(state.attempt), returncode=returncode)
        state = state.over("failed", _hinted(folder, state, failure))
    folder.write_state(state, lease)
    return state


def _hinted(folder: StageFolder, state: StageState, failure: Failure) -> Failure:
    if failure.kind != "oom":
        return failure
    try:
        spec = adjusted(folder.spec(), state.adjust)
    except LedgerError:  # torn; whoever starts the next attempt writes it anew
        return failure
    return with_memory_hint(failure, spec.kind, spec.config)


def clear_lease(folder: StageFolder, *, alive: HandleAlive = local_alive) -> None:
    """Remove the lease of an attempt that was killed after its last word and before it gave the lease back.

    Raises:
        LedgerError: the file system refuses.
    """
    if folder.lease() is None:
        return
    with contextlib.suppress(LeaseHeld):  # its owner is about to give it back, or cannot be seen from here
        leases.take(folder.path, purpose="launch", alive=lease_alive(alive)).release()


class ProcessRecord:
    """`processes.json` of one attempt: who belongs to it, kept current while it runs.

    Args:
        attempt_dir: `attempts/<n>`.
        mark: value of the mark variable in every process below the attempt.
    """

    def __init__(self, attempt_dir: Path, mark: str) -> None:
        self._path = attempt_dir / PROCESSES
        self._mark = mark
        self._attempt = ProcessId.current()
        self._written: list[ProcessId] | None = None

    def update(self) -> None:
        """Write the descendants of this process down if they have changed.

        Raises:
            LedgerError: the file system refuses.
        """
        now = descendants(os.getpid())
        if now != self._written:
            self._write(now, ended=False)

    def close(self) -> list[ProcessId]:
        """Kill what is left below this process and write down that nothing is.

        Returns:
            The processes that were left.

        Raises:
            LedgerError: the file system refuses.
        """
        left = [*descendants(os.getpid()), *marked(self._mark)]
        kill(left)
        self._write([], ended=True)
        return left

    def _write(self, processes: Sequence[ProcessId], *, ended: bool) -> None:
        data: dict[str, Any] = {
            "schema": 1,
            "mark": self._mark,
            "ended": ended,
            "attempt": self._attempt.to_json(),
            "descendants": [process.to_json() for process in processes],
        }
        write_json(self._path, data, durable=False)
        self._written = list(processes)


def end_leftovers(folder: StageFolder) -> list[ProcessId]:
    """Kill what earlier attempts of the stage left running on this machine; call it with the lease.

    They are found by pid and start time from `processes.json`, and by the mark in their environment.

    Returns:
        The processes that were left.

    Raises:
        LedgerError: the file system refuses.
    """
    ended: list[ProcessId] = []
    for attempt in reversed(folder.attempts()):
        record = read_json(attempt / PROCESSES)
        if record is None or record.get("ended"):
            continue
        try:
            owner = ProcessId.from_json(record["attempt"])
            recorded = [ProcessId.from_json(entry) for entry in record["descendants"]]
            mark = str(record["mark"])
        except (KeyError, TypeError, ValueError):
            continue
        if owner.alive() is None:  # it ran on another machine, whose processes cannot be reached from here
            continue
        left = [process for process in {*recorded, *marked(mark)} if process.alive()]
        kill(left)
        ended += left
        sweep_temporaries(attempt)
        write_json(attempt / PROCESSES, {**record, "ended": True, "descendants": []}, durable=False)
    return ended
