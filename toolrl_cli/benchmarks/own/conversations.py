"""Conversations that a `Benchmark` object in a user's file leads: its process, asked a line a step."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toolrl_cli.errors import BenchmarkError
from toolrl_cli.processes.child import describe_exit
from toolrl_cli.processes.tree import descendants, kill
from toolrl_cli.spec.evaluations.benchmarks import Answer, Ask, CannotRun, Item, Reply, Session

GRACE = 5.0
"""Seconds to end its session in, when the stage's own ends."""


class OwnSession(Session):
    """The object's own session.

    Args:
        process: of the user's file, which reads lines and answers them; ended by `close`.
        file: the user's.
        seconds: for one step.
    """

    def __init__(self, process: subprocess.Popen[str], file: Path, seconds: float) -> None:
        self._process, self._file, self._seconds = process, file, seconds
        self._lock, self._over = threading.Lock(), False
        self._heard: dict[str, queue.SimpleQueue[Mapping[str, Any]]] = defaultdict(queue.SimpleQueue)
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def converse(self, item: Item) -> Generator[Ask, Answer, Reply]:
        """Lead the conversation about an item.

        Raises:
            CannotRun: the file says so.
            BenchmarkError: its code failed, or its process ended or does not answer.
        """
        self._tell({"id": item.id, "do": "start"})
        over = False
        try:
            while True:
                line = self._next(item.id)
                over = "ask" not in line
                if "reply" in line:
                    return Reply(**line["reply"])
                if "cannot" in line:
                    raise CannotRun(line["cannot"])
                if over:
                    raise BenchmarkError(
                        " ".join(line["fault"].split())[:400], f"{self._file}: converse, item {item.id}"
                    )
                answer = yield Ask(**line["ask"])
                self._tell({"id": item.id, "do": "answer", "answer": asdict(answer)})
        finally:
            self._heard.pop(item.id, None)
            if not over and self._process.poll() is None:
                self._tell({"id": item.id, "do": "drop"})

    def close(self) -> None:
        """End the process, which first ends its session."""
        assert self._process.stdin is not None and self._process.stdout is not None
        below: Sequence[Any] = ()
        try:
            self._process.stdin.close()
            self._process.wait(GRACE)
        except BrokenPipeError:
            self._process.wait()
        except subprocess.TimeoutExpired:
            below = descendants(self._process.pid)
        if below or self._process.poll() is None:
            kill(below)
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def _tell(self, line: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps(line) + "\n")
                self._process.stdin.flush()
            except BrokenPipeError as error:
                raise self._ended() from error

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            line = json.loads(text)
            self._heard[line["id"]].put(line)
        self._over = True
        for waiting in list(self._heard.values()):
            waiting.put({})

    def _next(self, id: str) -> Mapping[str, Any]:
        heard = self._heard[id]
        try:
            line = heard.get_nowait() if self._over else heard.get(timeout=self._seconds)
        except queue.Empty as error:
            if self._over:
                raise self._ended() from error
            raise BenchmarkError(
                f"has not answered after {self._seconds:.0f} s", f"{self._file}: converse, item {id}"
            ) from error
        if not line:
            raise self._ended()
        return line

    def _ended(self) -> BenchmarkError:
        return BenchmarkError(f"its process {describe_exit(self._process.wait())}", str(self._file))
