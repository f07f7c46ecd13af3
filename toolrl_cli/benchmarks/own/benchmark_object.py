"""A `Benchmark` object in a user's file, as its own process asks it: items, verdicts, columns, conversations."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

from toolrl_cli.benchmarks.own.faults import Unusable, told
from toolrl_cli.spec.evaluations.benchmarks import (
    OVERALL,
    Answer,
    Ask,
    Benchmark,
    CannotRun,
    EvaluationContext,
    Item,
    Reply,
    Verdict,
)
from toolrl_cli.spec.evaluations.own_evaluation import OBJECT as NAME

AT_ONCE = 64
"""Steps of conversations at a time; each may block, as one does that waits for a search."""
UNUSED = {
    "data": "let `items` read what it needs",
    "configured": "let `items` read what it needs",
    "right": "let `judge` say what is right",
}
"""Methods that are not asked, or not by all who count what is right; with what to write instead."""


def object_in(module: Any) -> Benchmark | None:
    """The benchmark that a file holds; None where it holds none.

    Raises:
        Unusable: it holds several, a class alone, or one that reads what is not its own.
    """
    found = {name: value for name, value in vars(module).items() if isinstance(value, Benchmark)}
    known = found.get(NAME) or next(iter(found.values()), None)
    if known is None:
        classes = [
            name
            for name, value in vars(module).items()
            if _is_class(value) and value.__module__ == module.__name__
        ]
        if classes and not callable(getattr(module, "items", None)):
            raise Unusable(f"{classes[0]} is a class and no object: add {NAME} = {classes[0]}()")
        return None
    if NAME not in found and len(found) > 1:
        raise Unusable(f"holds several benchmarks ({', '.join(found)}): call the one that is meant {NAME}")
    used = [name for name in UNUSED if getattr(type(known), name) is not getattr(Benchmark, name)]
    if known.source or used:
        what, instead = ("source", UNUSED["data"]) if known.source else (used[0], UNUSED[used[0]])
        raise Unusable(f"`{what}` of a benchmark in a file of one's own is never used: {instead}")
    beside = [name for name in ("items", "judge") if _is_function_of(getattr(module, name, None), module)]
    if beside and type(known).__module__ != module.__name__:
        raise Unusable(
            f"`{beside[0]}` is never called beside a {type(known).__name__}: make it a method of a class of your own"
        )
    return known


def _is_function_of(value: Any, module: Any) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _is_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Benchmark)


class Asked:
    """Answers requests about a benchmark.

    Args:
        benchmark: which.
    """

    def __init__(self, benchmark: Benchmark) -> None:
        self._benchmark = benchmark
        self.items: Sequence[Item] = benchmark.items(None, None)

    def about(self) -> dict[str, Any]:
        """What the stage needs to know of it beside its items."""
        kind = type(self._benchmark)
        return {
            "also": list(self._benchmark.also),
            "converses": kind.session is not Benchmark.session,
            "counts": kind.metrics is not Benchmark.metrics or bool(self._benchmark.categories),
        }

    def verdicts(self, ids: Sequence[str], replies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Verdicts on replies, one each."""
        items = self._named(ids)
        with tempfile.TemporaryDirectory() as scratch:
            found = self._benchmark.judge_all(items, [Reply(**reply) for reply in replies], Path(scratch))
        return [verdict_row(verdict, id) for verdict, id in zip(found, ids, strict=True)]

    def metrics(self, ids: Sequence[str], verdicts: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
        """Column → metric as JSON."""
        rows = [
            None if row is None else Verdict(row["reason"], row["calls"], row["also"]) for row in verdicts
        ]
        items = [
            item if isinstance(item.category, str) else replace(item, category=category_of(item.category))
            for item in self._named(ids)
        ]
        return {name: metric.to_json() for name, metric in self._benchmark.metrics(items, rows).items()}

    def _named(self, ids: Sequence[str]) -> list[Item]:
        known = {str(item.id): item for item in self.items}
        lost = next((id for id in ids if id not in known), None)
        if lost is not None:
            raise Unusable(f"items() does not give the same items each time: {lost!r} is gone")
        return [known[id] for id in ids]

    def converse(self, heard: TextIO, out: TextIO) -> None:
        """Lead conversations until `heard` ends: lines `{id, do: start | answer | drop}` in, and out one a step.

        Args:
            heard: what the stage says.
            out: for the answers.
        """
        open_ones: dict[str, Generator[Ask, Answer, Reply]] = {}
        lock = threading.Lock()

        def step(id: str, answer: Answer | None) -> None:
            try:
                told_of = _step(open_ones[id], answer)
            except CannotRun as error:
                told_of = {"cannot": str(error)}
            except BaseException as error:  # a user's code raises what it likes
                told_of = {"fault": told(error)}
            with lock:
                out.write(json.dumps({"id": id, **told_of}) + "\n")
                out.flush()

        with (
            tempfile.TemporaryDirectory() as scratch,
            self._benchmark.session(Path(scratch), EvaluationContext()) as session,
        ):
            threads = ThreadPoolExecutor(AT_ONCE)
            for text in heard:
                line = json.loads(text)
                id, do = line["id"], line["do"]
                if do == "start":
                    open_ones[id] = session.converse(self._named([id])[0])
                if do == "drop":
                    open_ones.pop(id, None)
                else:
                    threads.submit(step, id, Answer(**line["answer"]) if do == "answer" else None)
            threads.shutdown(wait=False, cancel_futures=True)
        os._exit(0)  # the stage has ended, whatever a step still waits for


def _step(conversation: Generator[Ask, Answer, Reply], answer: Answer | None) -> dict[str, Any]:
    try:
        asked = next(conversation) if answer is None else conversation.send(answer)
    except StopIteration as end:
        if not isinstance(end.value, Reply):
            raise Unusable(f"converse returns {type(end.value).__name__}, and no Reply") from None
        return {"reply": asdict(end.value)}
    if not isinstance(asked, Ask):
        raise Unusable(f"converse yields {type(asked).__name__}, and no Ask")
    return {"ask": asdict(asked)}


def category_of(given: Any) -> str:
    """The category of an item as text; `overall`, which is none, where it has none."""
    return OVERALL if given is None or given == "" else str(given)


def verdict_row(value: Any, item: str) -> dict[str, Any]:
    """A verdict as JSON.

    Raises:
        Unusable: it is none.
    """
    if isinstance(value, bool):
        value = Verdict("" if value else "wrong")
    if isinstance(value, str) and value:
        value = Verdict(value)
    if not isinstance(value, Verdict):
        what = "an empty text" if value == "" else repr(value)
        raise Unusable(
            f"judge gives {what} for item {item}, and neither True, False nor what is wrong as text"
        )
    return {"reason": value.reason, "calls": list(value.calls), "also": dict(value.also)}
