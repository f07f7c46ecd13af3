"""Conversations with the evaluator's process: several at once, each in the thread of whoever leads it."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections import defaultdict
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.benchmarks.bfcl.process import last_words, start

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
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._heard: dict[str, queue.SimpleQueue[Mapping[str, Any]]] = defaultdict(queue.SimpleQueue)
        self._ended = ""

    def lead(self, id: str) -> Generator[Mapping[str, Any], str, Mapping[str, Any]]:
        """One conversation: yields `{"messages", "tools"}`, takes the model's turn, returns `{"turns", "stopped"}`.

        Raises:
            EvaluatorEnded: the process ended, or does not answer.
        """
        self._tell({"start": id})
        over = False
        try:
            while True:
                line = self._next(id)
                over = "turns" in line
                if over:
                    return line
                self._tell({"id": id, "text": (yield line)})
        finally:
            if not over and not self._ended:
                self._tell({"drop": id})
            self._heard.pop(id, None)

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            return

    def _tell(self, line: Mapping[str, Any]) -> None:
        with self._lock:
            if self._process is None:
                self._process = start(*self._place[:2], "converse", self._place[2])
                self._reader = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
                self._reader.start()
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(json.dumps(line) + "\n")
                self._process.stdin.flush()
            except BrokenPipeError as error:
                raise EvaluatorEnded(last_words(self._place[1])) from error

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        process.stdout.readline()  # how the network was taken
        for text in process.stdout:
            line = json.loads(text)
            if "id" in line:
                self._heard[line["id"]].put(line)
        self._ended = last_words(self._place[1])
        for waiting in list(self._heard.values()):
            waiting.put({})

    def _next(self, id: str) -> Mapping[str, Any]:
        heard = self._heard[id]  # made before the look at the end: who ends wakes all that are there
        try:
            line = heard.get_nowait() if self._ended else heard.get(timeout=ANSWER_SECONDS)
        except queue.Empty as error:
            silent = f"it did not answer within {ANSWER_SECONDS:.0f} s"
            raise EvaluatorEnded(self._ended or silent) from error
        if not line:
            raise EvaluatorEnded(self._ended)
        return line


class EvaluatorEnded(Exception):
    """The evaluator's process is gone, with what it said last."""
