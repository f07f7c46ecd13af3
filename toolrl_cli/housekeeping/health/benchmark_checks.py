"""Whether benchmarks' judges are sound here: gold answers are right, and empty ones what they must be."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from toolrl_cli.datasets.released import missing, released_folder
from toolrl_cli.errors import ToolrlError
from toolrl_cli.housekeeping.health.check import Check
from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS, Benchmark, Item, Reply, Verdict
from toolrl_cli.store.roots import command
from toolrl_cli.wording import counted, listed

SHOWN = 5
"""Ids of wrong items that are named."""


def check_benchmarks(results: Path) -> Iterator[Check]:
    """A finding for each benchmark: its own gold answers, and empty ones, judged.

    Args:
        results: the results root, below which released data are.
    """
    for name in BENCHMARKS.names():
        benchmark = BENCHMARKS.get(name)
        title = f"benchmark {name}"
        if benchmark.why_not_run:
            yield Check(title, "warning", benchmark.why_not_run)
            continue
        folder = released_folder(benchmark.source, results) if benchmark.source else None
        if folder is not None and missing(benchmark.source, folder):
            fix = command("data", "prepare", benchmark.source, results=results)
            yield Check(title, "warning", "its data are not here", fix)
            continue
        try:
            yield judged(benchmark, title, benchmark.items(None, folder))
        except ToolrlError as error:
            yield Check(title, "error", error.what, error.hint)


def judged(benchmark: Benchmark, title: str, items: Sequence[Item]) -> Check:
    """What a benchmark says of gold answers and of empty ones.

    Raises:
        ToolrlError: they cannot be judged.
    """
    with tempfile.TemporaryDirectory() as scratch:
        gold = benchmark.gold_replies(items, Path(scratch))
        empty = _verdicts(benchmark, items, benchmark.empty_replies(items, Path(scratch)))
        right = None if gold is None else _verdicts(benchmark, items, gold)
    faults = []
    wanted = {item.id for item in items if item.category in benchmark.right_if_empty}
    found = {item.id for item, verdict in zip(items, empty, strict=True) if verdict.correct}
    if found != wanted:
        faults.append(f"empty answers: {_named(found ^ wanted)} judged otherwise than they must be")
    if right is None:
        told = "gold answers are not known"
    else:
        wrong = {item.id for item, verdict in zip(items, right, strict=True) if not verdict.correct}
        known = {item.id for item in items} & benchmark.unanswerable
        if wrong != known:
            faults.append(f"gold answers: {_named(wrong ^ known)} judged otherwise than they must be")
        told = f"{len(items) - len(wrong)} of {len(items)} gold answers right"
        told += f", all but the {len(known)} that no answer satisfies" if known else ""
    told += f"; {len(found)} of as many empty ones"
    if faults:
        return Check(title, "error", "; ".join(faults), "its scores cannot be believed: is its data changed?")
    return Check(title, "ok", told)


def _verdicts(benchmark: Benchmark, items: Sequence[Item], replies: Sequence[Reply]) -> list[Verdict]:
    with tempfile.TemporaryDirectory() as scratch:
        return benchmark.judge_all(items, replies, Path(scratch))


def _named(ids: set[str]) -> str:
    return f"{counted(len(ids), 'item')} ({listed(sorted(ids), SHOWN)})"
