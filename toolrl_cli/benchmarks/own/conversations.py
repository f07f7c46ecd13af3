"""Conversations that a `Benchmark` object in a user's file leads: its process, asked a line a step."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toolrl_cli.errors import BenchmarkError
from toolrl_cli.processes.child import describe_exit
from toolrl_cli.processes.line_process import LineProcess, ProcessEnded
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
        self._lines = LineProcess(process)

    def converse(self, item: Item) -> Generator[Ask, Answer, Reply]:
        """Lead the conversation about an item.

        Raises:
            CannotRun: the file says so.
            BenchmarkError: its code failed, or its process ended or does not answer.
        """
        over = False
        try:
            self._lines.tell({"id": item.id, "do": "start"})
            while True:
                line = self._lines.answer(item.id, self._seconds)
                over = "ask" not in line
                if "reply" in line:
                    return Reply(**line["reply"])
                if "cannot" in line:
                    raise CannotRun(line["cannot"])
                if over:
                    fault = " ".join(line["fault"].split())[:400]
                    raise BenchmarkError(fault, f"{self._file}: converse, item {item.id}")
                answer = yield Ask(**line["ask"])
                self._lines.tell({"id": item.id, "do": "answer", "answer": asdict(answer)})
        except ProcessEnded as error:
            raise BenchmarkError(
                f"its process {describe_exit(self._process.wait())}", str(self._file)
            ) from error
        except TimeoutError as error:
            silent = f"has not answered after {self._seconds:.0f} s"
            raise BenchmarkError(silent, f"{self._file}: converse, item {item.id}") from error
        finally:
            self._lines.forget(item.id)
            if not over and self._process.poll() is None:
                with contextlib.suppress(ProcessEnded):
                    self._lines.tell({"id": item.id, "do": "drop"})

    def close(self) -> None:
        """End the process, which first ends its session."""
        assert self._process.stdin is not None
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
        self._lines.finish()
