"""Replies to a benchmark's items, judged: the content of `scores.json` and the lines of `items.jsonl`."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.spec.evaluations.benchmarks import Benchmark, Item, NotRun, Reply, Verdict


def score(
    benchmark: Benchmark, items: Sequence[Item], replies: Sequence[Reply | NotRun]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Judge one reply for each item.

    Args:
        benchmark: whose items they are.
        items: the questions.
        replies: one for each; where the item could not be run it has no verdict, and the metrics that it counts for
            have no value.

    Returns:
        The content of `scores.json` (without `schema`, `data_fingerprint` and `sampling`, which the caller knows) and
        the lines of `items.jsonl`.

    Raises:
        BenchmarkError: a verdict leaves out a rule of the benchmark's.
    """
    ran = [(item, reply) for item, reply in zip(items, replies, strict=True) if isinstance(reply, Reply)]
    with tempfile.TemporaryDirectory() as scratch:
        judged = benchmark.judge_all([item for item, _ in ran], [reply for _, reply in ran], Path(scratch))
    found = dict(zip((id(item) for item, _ in ran), judged, strict=True))
    verdicts = [found.get(id(item)) for item in items]
    rows = [_row(benchmark, *three) for three in zip(items, replies, verdicts, strict=True)]
    scores: dict[str, Any] = {
        "benchmark": benchmark.name,
        "protocol": benchmark.protocol,
        "version": benchmark.version,
        "prompt_format": benchmark.prompt_format,
        "items": len(rows),
        "metrics": {name: metric.to_json() for name, metric in benchmark.metrics(items, verdicts).items()},
    }
    hints = dict.fromkeys(reply.hint for reply in replies if isinstance(reply, NotRun) and reply.hint)
    for metric in scores["metrics"].values():
        if hints and metric["value"] is None and "could not be run" in metric["why"]:
            metric["why"] += f": {'; '.join(hints)}"
    cut = Counter(item.category for item, reply in ran if reply.stop == "length")
    total = Counter(item.category for item in items)
    counted = {name: {"cut": cut[name], "total": total[name]} for name in cut}
    return scores | ({"cut": counted} if cut else {}), rows


def _row(benchmark: Benchmark, item: Item, reply: Reply | NotRun, verdict: Verdict | None) -> dict[str, Any]:
    reason = verdict.reason if verdict else "could not be run"
    if isinstance(reply, NotRun):
        reason = ": ".join(filter(None, (reason, reply.why, reply.hint)))
    return {
        "id": item.id,
        "category": item.category,
        "correct": verdict and verdict.correct,
        "reason": reason,
        "prompt": [dict(message) for message in item.messages],
        "tools": item.tools,
        "gold": item.gold,
        "output": reply.output if isinstance(reply, Reply) else None,
        "stop": reply.stop if isinstance(reply, Reply) else None,
        "calls": list(verdict.calls) if verdict else [],
        **{f"correct_{rule}": benchmark.right(verdict, rule) for rule in benchmark.also},
    }
