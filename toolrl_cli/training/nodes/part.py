"""An attempt's part on one of its other nodes: `python -m toolrl_cli.training.nodes.part COMMAND…`.

It runs the command until that ends or the attempt does, and leaves no process of it behind. The command finds the
number of its node, from 1 on, where `torchrun` looks for it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from toolrl_cli.log import LOG, on_stderr
from toolrl_cli.processes.child import ChildFailed, ChildStopped, run_child
from toolrl_cli.processes.kernel import adopt_orphans
from toolrl_cli.processes.tree import MARK_VARIABLE
from toolrl_cli.training.nodes.lifeline import ADDRESS, join, wait_for_end

NODE_RANK = "PET_NODE_RANK"
"""`torchrun`'s own variable."""

TEMPORARY = "TOOLRL_TEMPORARY"
"""Variable with a folder on this node that is removed in the end."""

GRACE = 8.0
"""Seconds from SIGTERM to SIGKILL of what the command has started."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit status, or 0 where the attempt ended first."""
    command = list(sys.argv[1:] if argv is None else argv)
    name = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    over = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: over.set())
    adopt_orphans()
    with on_stderr("toolrl: ", may_fail=True):
        try:
            line, number = join(os.environ[ADDRESS], name)
        except OSError as error:
            LOG.error("node %s cannot reach the first node of its attempt: %s", name, error)
            return 1

        def watch() -> None:
            wait_for_end(line)
            over.set()

        threading.Thread(target=watch, daemon=True).start()
        status = _run(command, name, number, over)
        with contextlib.suppress(OSError):  # the attempt has gone
            line.sendall(f"{status}\n".encode())
        line.close()
    return status


def _run(command: Sequence[str], name: str, number: int, over: threading.Event) -> int:
    # the mark finds processes of the first node, whose attempt would end them; here this process does
    environment = {key: value for key, value in os.environ.items() if key not in (MARK_VARIABLE, ADDRESS)}
    environment[NODE_RANK] = str(number)
    called = f"the part on node {name}"
    try:
        run_child(command, env=environment, stop_requested=over.is_set, grace=GRACE, name=called)
    except ChildStopped:
        return 0
    except ChildFailed as error:
        LOG.error("%s", error)
        return error.returncode if error.returncode > 0 else 128 - error.returncode
    finally:
        if temporary := os.environ.get(TEMPORARY):
            shutil.rmtree(Path(temporary), ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
