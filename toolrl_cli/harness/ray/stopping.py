"""How an attempt that is a Ray job is asked to stop: by a file in its folder.

Ray's own `stop` does not take a waiting job out of the queue; it signals every process of a running one at once, so
that a trainer cannot save in order; and it needs a head that answers. The file is seen by a job that starts, by one
that runs, and by one that has outlived its cluster.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Literal

from toolrl_cli.processes.tree import descendants, kill
from toolrl_cli.store.files import write_text

NAME = "stop"
Word = Literal["", "stop", "kill"]


def ask_to_stop(attempt_dir: Path, *, at_once: bool) -> None:
    """Ask it to stop in order, or to end at once.

    Raises:
        LedgerError: the file cannot be written.
    """
    write_text(attempt_dir / NAME, "kill\n" if at_once else "stop\n")


def asked_to_stop(attempt_dir: Path) -> Word:
    """What it was asked for; empty for nothing.

    The folder is listed because a network file system then asks its server anew.
    """
    try:
        if attempt_dir / NAME not in attempt_dir.iterdir():
            return ""
        word = (attempt_dir / NAME).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    return "kill" if word == "kill" else "stop"


def heed(attempt_dir: Path, interval: float) -> None:
    """Look every `interval` seconds, in a thread: SIGTERM for this process, or the end of it and all below it."""

    def look() -> None:
        told = False
        while True:
            word = asked_to_stop(attempt_dir)
            if word == "kill":
                kill(descendants(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            if word and not told:
                told = True
                os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(interval)

    threading.Thread(target=look, name="stop", daemon=True).start()
