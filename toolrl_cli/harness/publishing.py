"""W&B beside a sweep that runs: a process of its own, which the harness neither waits for nor dies with."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from toolrl_cli.errors import LedgerError
from toolrl_cli.processes.child import importable
from toolrl_cli.spec.sweeps.sweep_file import Mode
from toolrl_cli.store.roots import command
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.tracking.status import LOGGERS, PublishingStatus, read_status

PATIENCE = 4.0  # seconds that a sweep's end may wait for what is on its way
LOG_FILE = "wandb.log"


class Publishing:
    """Feeds W&B while a sweep runs, see `tracking.publisher`.

    Args:
        results: the results root.
        name: the sweep's name; its plan is saved.
        mode: disabled: nothing is started; `loggers` for those beside W&B.
    """

    def __init__(self, results: Path, name: str, mode: Mode | Literal["loggers"]) -> None:
        self._mode, self._what = mode, "loggers" if mode == LOGGERS else "W&B"
        self._results, self._name = results, name
        self._folder = SweepFolder(results, name).path
        self._process: subprocess.Popen[bytes] | None = None
        self._fault = ""
        self._log = self._folder / (f"{LOGGERS}.log" if mode == LOGGERS else LOG_FILE)
        if mode == "disabled":
            return
        argv = [sys.executable, "-m", "toolrl_cli.tracking.publisher", str(results), name, "--mode", mode]
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    argv,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=importable(None),
                    start_new_session=True,  # Ctrl-C is for the harness
                )
        except OSError as error:
            self._fault = error.strerror or str(error)

    def __enter__(self) -> Publishing:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def conclude(self, patience: float = PATIENCE) -> str:
        """Let go of it: what is not in W&B, and what to do, in one line; empty where all is there.

        Args:
            patience: seconds to wait, at most, for what is on its way.
        """
        if self._process is None:
            return f"{self._what}: {self._fault}; {self._later('sends it')}" if self._fault else ""
        self.release()
        deadline = time.monotonic() + patience
        while not self._over() and time.monotonic() < deadline:
            time.sleep(0.05)
        status = self._status()
        if status and status.line:
            return f"{self._what}: {status.line}; {self._later('sends the rest')}"
        if self._over():
            unknown = (
                f"{self._what}: nothing is known of what was sent ({self._log}); {self._later('sends it')}"
            )
            return "" if status else unknown
        return f"{self._what}: the rest is on its way (process {self.pid}); {self._later('looks whether it arrived')}"

    @property
    def pid(self) -> int | None:
        """The publisher's process; None where there is none."""
        return None if self._process is None else self._process.pid

    def _over(self) -> bool:
        """Whether the publisher has told all it can, or is gone."""
        status = self._status()
        return (status is not None and status.ended) or (
            self._process is not None and self._process.poll() is not None
        )

    def release(self) -> None:
        """Tell it that the harness is done; it goes on by itself."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _status(self) -> PublishingStatus | None:
        """What this publisher has written down, or another one that is at work; not that of an earlier sweep."""
        with contextlib.suppress(LedgerError):
            status = read_status(self._folder, self._mode)
            if status and (status.process.get("pid") == self.pid or status.at_work):
                return status
        return None

    def _later(self, what: str) -> str:
        return f"`{command('sync', self._name, results=self._results)}` {what}"


def owed(results: Path, name: str, mode: str, runs: Iterable[str]) -> bool:
    """Whether some of these runs were never told, or not all of them there, and nobody is at it."""
    if mode == "disabled":
        return False
    with contextlib.suppress(LedgerError):
        status = read_status(SweepFolder(results, name).path, mode)
        if status is not None and status.at_work:
            return False
        if status is not None and status.mode == mode:
            return any((told := status.runs.get(run)) is None or not told.complete for run in runs)
    return True


def concluded(*followers: Publishing) -> str:
    """Conclude several, which have the patience of one together: what is missing, in one line."""
    deadline = time.monotonic() + PATIENCE
    for follower in followers:
        follower.release()
    told = [follower.conclude(deadline - time.monotonic()) for follower in followers]
    return "; ".join(line for line in told if line)
