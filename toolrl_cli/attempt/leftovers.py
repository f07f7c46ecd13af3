"""The processes of an attempt: written down while it runs, ended when it is over."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.tree import descendants, kill, marked
from toolrl_cli.store.files import sweep_temporaries, write_json
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.schemas import PROCESSES


class ProcessRecord:
    """`processes.json` of one attempt: who belongs to it, kept current while it runs.

    Args:
        attempt_dir: `attempts/<n>`.
        mark: value of the mark variable in every process below the attempt.
    """

    def __init__(self, attempt_dir: Path, mark: str) -> None:
        self._path = attempt_dir / PROCESSES.name
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
        data = {
            "mark": self._mark,
            "ended": ended,
            "attempt": self._attempt.to_json(),
            "descendants": [process.to_json() for process in processes],
        }
        write_json(self._path, PROCESSES.stamped(data), durable=False)
        self._written = list(processes)


def end_leftovers(folder: StageFolder) -> list[ProcessId]:
    """Kill what earlier attempts of the stage left running on this machine; call it with the lease.

    They are found by pid and start time from `processes.json`, and by the mark in their environment.

    Returns:
        The processes that were left.

    Raises:
        LedgerError: the file system refuses, or a later version wrote down what is left.
    """
    ended: list[ProcessId] = []
    for attempt in reversed(folder.attempts()):
        record = PROCESSES.load(attempt / PROCESSES.name)
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
        write_json(attempt / PROCESSES.name, {**record, "ended": True, "descendants": []}, durable=False)
    return ended
