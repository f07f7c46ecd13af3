"""Conversations with the evaluator's process: several at once, each in the thread of whoever leads it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.benchmarks.bfcl.process import last_words, start
from toolrl_cli.processes.line_process import LineProcess, ProcessEnded

ANSWER_SECONDS = 120.0
"""Without an answer of the evaluator, which bounds the calls that it executes at 5 s of processor time."""


class Conversations:
    """The evaluator's process while a model is asked; it is started with the first conversation.

    Args:
        folder: the evaluator's environment.
        scratch: a folder of its own.
        protocol: how answers are read.
    """

    def __init__(self, folder: Path, scratch: Path, protocol: str) -> None:
        self._place = (folder, scratch, protocol)
        self._lock = threading.Lock()
        self._started: LineProcess | None = None

    def lead(self, id: str) -> Generator[Mapping[str, Any], str, Mapping[str, Any]]:
        """One conversation: yields `{"messages", "tools"}`, takes the model's turn, returns `{"turns", "stopped"}`.

        Raises:
            EvaluatorEnded: the process ended, or does not answer.
        """
        evaluator, over = self._evaluator(), False
        try:
            evaluator.tell({"start": id})
            while True:
                line = evaluator.answer(id, ANSWER_SECONDS)
                over = "turns" in line
                if over:
                    return line
                evaluator.tell({"id": id, "text": (yield line)})
        except ProcessEnded as error:
            raise EvaluatorEnded(last_words(self._place[1])) from error
        except TimeoutError as error:
            raise EvaluatorEnded(f"it did not answer within {ANSWER_SECONDS:.0f} s") from error
        finally:
            if not over and not evaluator.over:
                with contextlib.suppress(ProcessEnded):
                    evaluator.tell({"drop": id})
            evaluator.forget(id)

    def close(self) -> None:
        """End the process."""
        if self._started is not None:
            self._started.process.kill()
            self._started.process.wait()
            self._started.finish()

    def _evaluator(self) -> LineProcess:
        with self._lock:
            if self._started is None:
                # its first line tells how the network was taken
                self._started = LineProcess(start(*self._place[:2], "converse", self._place[2]), greeting=1)
            return self._started


class EvaluatorEnded(Exception):
    """The evaluator's process is gone, with what it said last."""
