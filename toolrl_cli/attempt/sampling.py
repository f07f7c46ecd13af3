"""The thread that writes down what an attempt uses of its machine: `attempts/<n>/machine.jsonl`."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

from toolrl_cli.log import LOG
from toolrl_cli.store.progress.metrics import MACHINE_FILE

FIRST, EVERY = 5.0, 15.0  # seconds until the first sample, and between two


class Sampler(threading.Thread):
    """Runs until `finish`; an attempt that is over before the first sample costs nothing.

    Args:
        attempt_dir: `attempts/<n>`.
        first, every: seconds until the first sample, and between two.
    """

    def __init__(self, attempt_dir: Path, *, first: float = FIRST, every: float = EVERY) -> None:
        super().__init__(name="toolrl-sampler", daemon=True)
        self._path = attempt_dir / MACHINE_FILE
        self._first, self._every = first, every
        self._finished = threading.Event()

    def finish(self) -> None:
        """End the thread, which may still ask a driver that does not answer: nobody waits for that."""
        self._finished.set()
        if self.is_alive():
            self.join(timeout=1.0)

    def run(self) -> None:
        """One sample after another."""
        if self._finished.wait(self._first / 2):
            return
        import psutil  # not for an attempt that is over at once

        from toolrl_cli.processes.usage import Usage

        try:
            usage = Usage(os.getpid())
            pause = self._first / 2
            while not self._finished.wait(pause):
                row = {"time": round(time.time(), 3), "data": usage.look()}
                with self._path.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(row) + "\n")
                pause = self._every
        except (OSError, psutil.Error) as error:
            LOG.info("what the attempt uses of its machine is not written down any more: %s", error)
