"""Verdicts on answers, by upstream's own runners, one item at a time, in a confined child."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolrl_cli.benchmarks.bfcl.evaluator import confinement, upstream
from toolrl_cli.benchmarks.bfcl.evaluator.children import Child

STALL_SECONDS = 60.0
"""Without a verdict: an item that neither ends nor uses the processor."""
REASON_CHARACTERS = 300
ENDED = "checking its calls took more time or memory than it may"

Row = tuple[str, Any]
"""An item's id and its answer: a text, or for each turn the texts of its steps."""
Items = Mapping[str, tuple[str, dict[str, Any], Any]]
"""Id → category, upstream's entry, gold answer."""


def verdicts(rows: Sequence[Row], model: str, handler: Any) -> Iterator[dict[str, Any]]:
    """One `{"id", "correct", "reason"}` for each answer, in order.

    Args:
        rows: answers to known items, each item at most once.
        model: the name under which the handler is registered.
        handler: upstream's handler, which reads the answers.

    Raises:
        ValueError: an id is none of the data, or stands twice.
    """
    items = {
        id: (category, entry, gold)
        for category in upstream.CATEGORIES
        for id, entry, gold in upstream.entries(category)
    }
    for id, count in Counter(id for id, _ in rows).items():
        if id not in items or count > 1:
            raise ValueError(f"{id} is no item of the data" if id not in items else f"{id} is answered twice")
    done = 0
    while done < len(rows):
        child = Child(lambda start=done: _judge(rows[start:], items, model, handler))  # type: ignore[misc]
        for line in child.lines(STALL_SECONDS):
            yield json.loads(line)
            done += 1
        child.end()
        if done < len(rows):
            yield {"id": rows[done][0], "correct": False, "reason": ENDED}
            done += 1


def _judge(rows: Sequence[Row], items: Items, model: str, handler: Any) -> Iterator[str]:
    for id, answer in rows:
        confinement.more_time()
        correct, reason = _verdict({"id": id, "result": answer}, *items[id], model, handler)
        upstream.forget_instances()
        yield json.dumps({"id": id, "correct": correct, "reason": reason})


def _verdict(
    row: Mapping[str, Any], category: str, entry: dict[str, Any], gold: Any, model: str, handler: Any
) -> tuple[bool, str]:
    rows = ([row], [entry], [{"ground_truth": gold}])
    with upstream.captured() as written:
        try:
            upstream.release.judge(category, rows, handler, model)
        except Exception as error:  # upstream checks no types; whatever a model's text breaks there is wrong
            return False, f"the checker failed on it: {type(error).__name__}: {error}"[:REASON_CHARACTERS]
    return (True, "") if written[0]["correct_count"] else (False, _reason(written[1]))


def _reason(failure: Mapping[str, Any]) -> str:
    """What upstream says of a failure: its kind, and the first of its messages."""
    error = failure["error"]
    kind = failure.get("error_type", "")
    if isinstance(error, Mapping):
        kind = error.get("error_type", kind)
        error = error.get("error_message", "")
    first = error[0] if isinstance(error, list) and error else error
    return ": ".join(part for part in (str(kind), str(first)) if part)[:REASON_CHARACTERS]
