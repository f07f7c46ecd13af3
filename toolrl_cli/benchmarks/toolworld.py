"""Scoring of ToolWorld's benchmark: exact match of calls, and responses where no tool fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from toolrl_cli.benchmarks.parsing import Turn, canonical, parse_turn
from toolrl_cli.datasets.toolworld import CATEGORIES, GENERATOR_VERSION, Example

PROTOCOL = "exact-match"
PROMPT_FORMAT = "rlla"
OVERALL = "overall"


def score_items(
    examples: Sequence[Example], outputs: Sequence[str | None]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Judge one output for each example.

    A turn that should call is correct when its calls, as a multiset of (name, parameters), are those of the gold
    answer; one that should not is correct when it calls nothing and its `<response>` is not empty.

    Args:
        examples: rows of the split `benchmark`.
        outputs: one turn for each; None where the item could not be run: it has no verdict then, and the metrics
            that it counts for have no value.

    Returns:
        The content of `scores.json` (without `schema`, `data_fingerprint` and `sampling`, which the caller knows) and
        the lines of `items.jsonl`.
    """
    items = [_judge(example, output) for example, output in zip(examples, outputs, strict=True)]
    metrics = {
        name: _metric([i for i in items if name in (i["category"], OVERALL)])
        for name in (*CATEGORIES, OVERALL)
    }
    scores = {
        "benchmark": "toolworld",
        "protocol": PROTOCOL,
        "version": str(GENERATOR_VERSION),
        "prompt_format": PROMPT_FORMAT,
        "metrics": metrics,
    }
    return scores, items


def _judge(example: Example, output: str | None) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": example.id,
        "category": example.category,
        "correct": None,
        "reason": "could not be run",
        "prompt": example.user,
        "output": output,
        "calls": [],
    }
    if output is None:
        return item
    turn = parse_turn(output)
    reason = _fault(parse_turn(example.answer), turn)
    return item | {"correct": not reason, "reason": reason, "calls": list(turn.calls)}


def _fault(gold: Turn, turn: Turn) -> str:
    """What is wrong with a turn, in a few words; empty where nothing is."""
    if not gold.called:
        if turn.called:
            return "called a tool where none fits"
        return "" if turn.response else "no response"
    if not turn.called:
        return "called nothing"
    if turn.problem:
        return turn.problem
    wanted, given = Counter(map(canonical, gold.calls)), Counter(map(canonical, turn.calls))
    if wanted == given:
        return ""
    if len(turn.calls) != len(gold.calls):
        return f"{len(turn.calls)} calls instead of {len(gold.calls)}"
    if Counter(c["name"] for c in gold.calls) != Counter(c["name"] for c in turn.calls):
        return "wrong tool"
    missed = next((wanted - given).elements())
    return f"wrong parameters; wanted {missed}"


def _metric(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    total = len(items)
    if not total:
        return {"value": None, "correct": None, "total": 0, "why": "the benchmark has no such item"}
    unknown = sum(i["correct"] is None for i in items)
    if unknown:
        why = f"{unknown} of {total} items could not be run"
        return {"value": None, "correct": None, "total": total, "why": why}
    correct = sum(i["correct"] for i in items)
    return {"value": correct / total, "correct": correct, "total": total}
