"""Runs users' functions in a process of their own (`serving`), within a time limit.

One such process serves all functions of the process that asks. It ends with it, and is started anew after a function
has ended it or has not returned in time.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from toolrl_cli.rewards.errors import RewardError
from toolrl_cli.rewards.user_code.serving import Answer, Request
from toolrl_cli.rewards.user_code.sources import Where
from toolrl_cli.rewards.user_code.values import Returned

IMPORT_FACTOR = 5
"""An import may take this many times as long as a call."""

_TOOLRLS = ("PYTHONSAFEPATH", "toolrl")
"""Set by `processes.child` for toolrl alone: what a function starts imports from its own folder, as Python does."""

_GLANCE = 0.2  # seconds between two looks whether the process lives
_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from toolrl_cli.rewards.user_code.serving import serve; serve({fd})"
)


class UserCodeError(Exception):
    """The trace-back of a user's function, as the cause of the error that names it."""


Readings = Sequence[tuple[Any, ...]]
"""The arguments of one `Reading`; of a function that is given all responses to a prompt together, of each."""


def run(where: Where, readings: Readings | None, timeout: float) -> list[Returned]:
    """Call a function in the process for users' functions.

    Args:
        where: the function.
        readings: what it is called with; None to import the function and look at its parameters.
        timeout: seconds that a call may take.

    Returns:
        What it returned for each reading; nothing if it was not called.

    Raises:
        RewardError: it cannot be imported, raised, returned no number, took too long, or ended its process.
    """
    with _LOCK:
        if where not in _runner().imported:
            _ask(where, None, timeout * IMPORT_FACTOR)
            _runner().imported.add(where)
        return [] if readings is None else _ask(where, readings, timeout)


def close() -> None:
    """End the process, if there is one; the next call starts another."""
    if _CURRENT:
        _CURRENT.pop().end()


def _ask(where: Where, readings: Readings | None, timeout: float) -> list[Returned]:
    runner = _runner()
    try:
        answer = runner.ask(Request(where, readings, timeout, sys.path if readings is None else []))
    except BaseException:  # an interrupt, too, must not leave an answer behind for the next request
        close()
        raise
    if isinstance(answer, str):
        close()
        doing = "was being imported" if readings is None else "ran"
        hint = "or raise its timeout" if "did not" in answer else ""
        raise RewardError(answer.format(doing=doing), "", hint)
    if answer.fault:
        raise RewardError(answer.fault, "", answer.hint) from (
            UserCodeError(f"\n{answer.trace}") if answer.trace else None
        )
    return answer.values or []


class _Runner:
    """The process, and this process's end of the connection."""

    def __init__(self) -> None:
        self.imported: set[Where] = set()
        here, there = socket.socketpair()
        with there:
            program = _PROGRAM.format(path=sys.path, fd=there.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                env={k: v for k, v in os.environ.items() if (k, v) != _TOOLRLS},
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=[there.fileno()],
                start_new_session=True,  # what it starts ends with it, and Ctrl-C is for the process that asks
            )
        self._connection = Connection(here.detach())

    def ask(self, request: Request) -> Answer | str:
        """The answer, or why there is none."""
        deadline = time.monotonic() + request.timeout
        try:
            self._connection.send_bytes(pickle.dumps(request))
            while not self._connection.poll(_GLANCE):
                if self._process.poll() is not None:
                    break
                if time.monotonic() > deadline:
                    return f"did not end within {request.timeout:g} s while it {{doing}}"
            if self._connection.poll():  # what a function started may hold the other end open
                return Answer(*pickle.loads(self._connection.recv_bytes()))
        except (OSError, EOFError):
            pass
        try:
            status = self._process.wait(5 * _GLANCE)
        except subprocess.TimeoutExpired:
            return "closed the connection of its process while it {doing}"
        how = f"with status {status}" if status >= 0 else f"by signal {-status} ({signal.strsignal(-status)})"
        return f"ended its process {how} while it {{doing}}"

    def end(self) -> None:
        """Kill the process with all that it started."""
        self._connection.close()
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()
        self._process.wait()


def _runner() -> _Runner:
    if not _CURRENT:
        _CURRENT.append(_Runner())
    return _CURRENT[0]


def _after_fork() -> None:
    """A forked process starts its own: that of its parent answers its parent."""
    global _LOCK
    _LOCK = threading.RLock()
    _CURRENT.clear()


_CURRENT: list[_Runner] = []
_LOCK = threading.RLock()
os.register_at_fork(after_in_child=_after_fork)
atexit.register(close)
