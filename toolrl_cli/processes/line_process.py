"""A process that is asked in lines of JSON, many conversations at once: each answer has the `id` of its own."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any


class ProcessEnded(Exception):
    """The process is gone."""


class LineProcess:
    """A running process; any thread may ask it.

    Args:
        process: its input and output are pipes of text.
        greeting: lines that it writes before its answers.

    Attributes:
        over: it has written its last answer.
    """

    def __init__(self, process: subprocess.Popen[str], greeting: int = 0) -> None:
        self.process, self.over, self._greeting = process, False, greeting
        self._lock = threading.Lock()
        self._heard: dict[str, queue.SimpleQueue[Mapping[str, Any]]] = defaultdict(queue.SimpleQueue)
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def tell(self, line: Mapping[str, Any]) -> None:
        """Write it a line.

        Raises:
            ProcessEnded: it reads no more.
        """
        assert self.process.stdin is not None
        with self._lock:
            try:
                self.process.stdin.write(json.dumps(line) + "\n")
                self.process.stdin.flush()
            except BrokenPipeError as error:
                raise ProcessEnded from error

    def answer(self, id: str, seconds: float) -> Mapping[str, Any]:
        """The next answer of a conversation.

        Raises:
            ProcessEnded: it ended before.
            TimeoutError: it has not answered for so long.
        """
        heard = self._heard[id]  # made before the look at the end: who ends wakes all that are there
        try:
            line = heard.get_nowait() if self.over else heard.get(timeout=seconds)
        except queue.Empty as error:
            raise (ProcessEnded if self.over else TimeoutError)() from error
        if not line:
            raise ProcessEnded
        return line

    def forget(self, id: str) -> None:
        """A conversation is over."""
        self._heard.pop(id, None)

    def finish(self) -> None:
        """Close what is left of a process that has ended."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self._reader.join()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for _ in range(self._greeting):
            self.process.stdout.readline()
        for text in self.process.stdout:
            line = json.loads(text)
            if "id" in line:
                self._heard[line["id"]].put(line)
        self.over = True
        for waiting in list(self._heard.values()):
            waiting.put({})
