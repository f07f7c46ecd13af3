"""Ctrl-C and SIGTERM for a loop that waits on file descriptors."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


class Interrupts:
    """Counts requests to stop, from signals or from other threads, and wakes the loop up.

    Attributes:
        requests: how often a stop was asked for; the second time means at once.
        fd: readable after a request until `clear`.
    """

    def __init__(self) -> None:
        self.requests = 0
        self._closed = False
        self.fd, self._write = os.pipe()
        for descriptor in (self.fd, self._write):
            os.set_blocking(descriptor, False)

    def request(self, *_: object) -> None:
        """Ask for a stop; also a signal handler."""
        self.requests += 1
        if not self._closed:
            with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
                os.write(self._write, b"!")

    def clear(self) -> None:
        """Make `fd` quiet again."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fd, 512):
                continue

    def close(self) -> None:
        """Give the descriptors back."""
        self._closed = True
        os.close(self.fd)
        os.close(self._write)

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM become requests inside the block; outside the main thread it changes nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {signum: signal.signal(signum, self.request) for signum in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
