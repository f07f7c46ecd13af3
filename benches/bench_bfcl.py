"""Time to score all 4,441 answers of BFCL V3, beside bfcl-eval's own evaluation of the same answers.

    python benches/bench_bfcl.py [RESULTS]

The answers are gold ones with a seeded third spoiled. Each side runs in a process of its own, start-up included: ours
item by item in a confined child, theirs as its command `evaluate` does it. The counts must agree. Exit status 1: they
do not, or ours takes longer than the bound. The evaluator is brought under RESULTS where it is not there.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(
    0, str(Path(__file__).resolve().parents[1])
)  # fabricated answers and upstream's side are the tests'
from tests.benchmarks.test_bfcl import RLLA, fabricated, upstreams_category, upstreams_counts
from toolrl_cli.benchmarks.bfcl.process import ask
from toolrl_cli.datasets.released import bring, released_folder

BOUND_S = 10.0


def timed(deed: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it gives, its seconds by the clock, and its and its children's seconds of processor time."""
    before, began = os.times(), time.perf_counter()
    result = deed()
    took, after = time.perf_counter() - began, os.times()
    return result, took, sum(after[:4]) - sum(before[:4])


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "results").resolve()
    evaluator = bring("bfcl", released_folder("bfcl", root))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        items, listed, listed_cpu = timed(lambda: list(RLLA.items(None, evaluator)))
        replies = RLLA.gold_replies(items, scratch / "gold")
        gold = dict(zip((item.id for item in items), replies, strict=True))
        answers = fabricated(items, gold)
        rows = [{"id": item.id, "answer": answer} for item, answer in zip(items, answers, strict=True)]
        lines, ours, ours_cpu = timed(lambda: list(ask(evaluator, scratch / "ours", "score", "rlla", rows)))
        counts, theirs, theirs_cpu = timed(
            lambda: upstreams_counts(evaluator, items, answers, scratch / "theirs")
        )
    right = {line["id"] for line in lines if line["correct"]}
    mine = Counter(upstreams_category(item) for item in items if item.id in right)
    same = mine == {category: correct for category, (correct, _) in counts.items()}
    print(f"{len(items)} items, load {os.getloadavg()[0]:.1f}   seconds   of processor time")
    print(f"listing               {listed:10.1f} {listed_cpu:10.1f}")
    print(f"scoring, toolrl       {ours:10.1f} {ours_cpu:10.1f}   (bound {BOUND_S:.0f} s)")
    print(f"scoring, bfcl-eval    {theirs:10.1f} {theirs_cpu:10.1f}")
    print(f"counts equal: {'yes' if same else 'no'}")
    return 0 if same and ours <= BOUND_S else 1


if __name__ == "__main__":
    sys.exit(main())
