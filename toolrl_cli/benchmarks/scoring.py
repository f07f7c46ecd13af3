"""Answers to a benchmark's items, judged: the content of `scores.json` and the lines of `items.jsonl`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolrl_cli.spec.benchmarks import OVERALL, Benchmark, Item


def score(
    benchmark: Benchmark, items: Sequence[Item], outputs: Sequence[str | None]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Judge one answer for each item.

    Args:
        benchmark: whose items they are.
        items: the questions.
        outputs: one answer for each; None where the item could not be run: it has no verdict then, and the metrics
            that it counts for have no value.

    Returns:
        The content of `scores.json` (without `schema`, `data_fingerprint` and `sampling`, which the caller knows) and
        the lines of `items.jsonl`. There is a metric for each category and the overall one: shares
        of items that were answered right; and as many again for each further rule of the benchmark.
    """
    rows = [_row(benchmark, item, output) for item, output in zip(items, outputs, strict=True)]
    named = benchmark.categories or [item.category for item in items]
    categories = [name for name in dict.fromkeys(named) if name != OVERALL]
    scores = {
        "benchmark": benchmark.name,
        "protocol": benchmark.protocol,
        "version": benchmark.version,
        "prompt_format": benchmark.prompt_format,
        "metrics": {
            name + (f"_{rule}" if rule else ""): _metric(rows, name, rule)
            for rule in ("", *benchmark.also)
            for name in (*categories, OVERALL)
        },
    }
    return scores, rows


def _row(benchmark: Benchmark, item: Item, output: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": item.id,
        "category": item.category,
        "correct": None,
        "reason": "could not be run",
        "prompt": item.messages[-1]["content"],
        "output": output,
        "calls": [],
        **{f"correct_{rule}": None for rule in benchmark.also},
    }
    if output is None:
        return row
    verdict = benchmark.judge(item, output)
    row |= {f"correct_{rule}": verdict.also[rule] for rule in benchmark.also}
    return row | {"correct": verdict.correct, "reason": verdict.reason, "calls": list(verdict.calls)}


def _metric(rows: Sequence[dict[str, Any]], category: str, rule: str) -> dict[str, Any]:
    verdicts = [
        row[f"correct_{rule}" if rule else "correct"]
        for row in rows
        if category in (row["category"], OVERALL)
    ]
    total = len(verdicts)
    if not total:
        return {"value": None, "correct": None, "total": 0, "why": "the benchmark has no such item"}
    unknown = verdicts.count(None)
    if unknown:
        why = f"{unknown} of {total} items could not be run"
        return {"value": None, "correct": None, "total": total, "why": why}
    correct = sum(verdicts)
    return {"value": correct / total, "correct": correct, "total": total}
