"""Forked children in which a model's calls are executed, and the lines between them and their parent."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator

from toolrl_cli.benchmarks.bfcl.evaluator import confinement

CHUNK = 1 << 16


class Child:
    """A confined child that sends lines, and may be sent some.

    Args:
        work: run in the child; what it yields is sent.
    """

    def __init__(self, work: Callable[[], Iterator[str]]) -> None:
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _run(work, theirs)
        theirs.close()
        self._socket = ours
        self._held = b""
        self._closed = False

    def fileno(self) -> int:
        """For `select`: readable when a line has come, or the child has ended."""
        return self._socket.fileno()

    def received(self) -> list[str] | None:
        """The whole lines that have come; None when the child has ended."""
        chunk = self._socket.recv(CHUNK)
        if not chunk:
            self._closed = True
            return None
        *lines, self._held = (self._held + chunk).split(b"\n")
        return [line.decode() for line in lines]

    def lines(self, stall: float) -> Iterator[str]:
        """The lines until the child ends, or sends nothing for `stall` seconds."""
        while select.select([self._socket], [], [], stall)[0]:
            lines = self.received()
            if lines is None:
                return
            yield from lines

    def send(self, line: str) -> None:
        """Send a line; nothing happens if the child has ended."""
        with contextlib.suppress(OSError):
            self._socket.sendall(line.encode() + b"\n")

    def end(self) -> None:
        """Wait for it, or end it where it has not ended.

        Raises:
            RuntimeError: it failed by itself; what a model's text does ends it by a signal.
        """
        self._socket.close()
        ended, status = os.waitpid(self.pid, 0 if self._closed else os.WNOHANG)
        if not ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        elif os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise RuntimeError("a child failed")


_parent: socket.socket | None = None


def receive() -> str:
    """In a child: the next line that the parent sends.

    Raises:
        EOFError: the parent has ended or wants no more.
    """
    assert _parent is not None
    held = b""
    while not held.endswith(b"\n"):
        chunk = _parent.recv(CHUNK)
        if not chunk:
            raise EOFError
        held += chunk
    return held.decode()


def send(line: str) -> None:
    """In a child: a line to the parent."""
    assert _parent is not None
    _parent.sendall(line.encode() + b"\n")


def _run(work: Callable[[], Iterator[str]], parent: socket.socket) -> None:
    """In the child: confine it, do the work, and end without what a Python process does at its end."""
    global _parent
    status = 1
    try:
        _parent = parent
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 (upstream prints; it is never closed)
        confinement.end_with_parent()
        confinement.limit()
        confinement.refuse_deeds()
        for line in work():
            send(line)
        status = 0
    except EOFError:
        status = 0  # the parent wants no more
    except BaseException:  # a fault of this program: a model's text has rules of its own
        traceback.print_exc()
    finally:
        os._exit(status)
