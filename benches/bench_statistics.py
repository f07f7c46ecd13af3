"""Simulations of the report's tests: how often they star what is nothing, and find what they say they find.

    python benches/bench_statistics.py [--rounds 2000] [--write]

Each line is a rate with its bound: false stars in at most 5 % of families under no effect, also where everything is
right or wrong; the power that the notes claim; coverage of the intervals. Normal draws stand for scores without
counts; verdicts of items, whose difficulty all arms share, for those with. `--write` puts the table into
benches/results/statistics.md. Exit status 1: a rate is beyond its bound by more than the simulation's own error.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from toolrl_cli.report.comparisons.claim_power import claim_needs
from toolrl_cli.report.comparisons.claims import ClaimSpec
from toolrl_cli.report.statistics.basics import LEVEL, holm
from toolrl_cli.report.statistics.items import compare_over_items, wilson, wilson_error
from toolrl_cli.report.statistics.power import Design, detectable
from toolrl_cli.report.statistics.seeds import Sample, compare, seed_mean, stratified_difference

ROOT = Path(__file__).resolve().parents[1]
DRAW = np.random.default_rng(0)


class Table:
    """Lines of what was simulated, with bounds; `failed` has those beyond."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str, str]] = []
        self.failed: list[str] = []

    def add(self, what: str, hits: int, of: int, low: float = 0.0, high: float = 1.0) -> None:
        """Add a rate; three standard errors of the simulation are allowed beyond a bound."""
        rate, error = hits / of, 3 * math.sqrt(max(hits / of * (1 - hits / of), 1 / of) / of)
        told = f"≤ {high:.0%}" if low == 0 else f"≥ {low:.0%}"
        fine = low - error <= rate <= high + error
        self.lines.append((what, f"{rate:.1%}", told, "" if fine else "beyond"))
        if not fine:
            self.failed.append(what)
        print(f"{what:94} {rate:7.1%}  {told} {'' if fine else 'BEYOND'}", flush=True)


def counted(rates: np.ndarray, items: int, seeds: int, spread: float) -> list[Sample]:
    """Samples of arms with these true rates: items of shared difficulty, and seeds that are better or worse."""
    hard = DRAW.normal(0, 1.5, items)
    clipped = np.clip(rates, 1e-12, 1 - 1e-12)
    samples = []
    for rate, centre in zip(rates, np.log(clipped / (1 - clipped)), strict=True):
        logits = centre + hard[None] + DRAW.normal(0, spread, (seeds, 1))
        chance = rate + 0 * logits if rate in (0, 1) else 1 / (1 + np.exp(-logits))
        right = (DRAW.random((seeds, items)) < chance).sum(axis=1)
        samples.append(sample_of([int(r) for r in right], items))
    return samples


def sample_of(right: list[int], items: int) -> Sample:
    """What the report makes of counts: values in points, and the error of the least certain evaluation."""
    ends = [wilson(r, items) for r in right]
    error = wilson_error(max(50 * (high - low) for low, high in ends))
    values = tuple(round(100 * r / items, 10) for r in right)
    return Sample(values, seeds=tuple(range(len(right))), item_error=error, resolution=100 / items)


def normal(means: np.ndarray, seeds: int, shared: float = 0.0) -> list[Sample]:
    """Samples of unit spread; `shared` is the part of the variance that a seed brings to all arms."""
    common = DRAW.normal(0, math.sqrt(shared), seeds)
    own = DRAW.normal(0, math.sqrt(1 - shared), (len(means), seeds))
    return [Sample(tuple(m + common + o), seeds=tuple(range(seeds))) for m, o in zip(means, own, strict=True)]


def stars(samples: list[Sample]) -> list[bool]:
    """Which arms are starred against the first, in one family."""
    found = [compare(sample, samples[0]) for sample in samples[1:]]
    adjusted = iter(holm([c.p for c in found if c is not None]))
    return [c is not None and next(adjusted) < LEVEL for c in found]


def false_stars(table: Table, rounds: int) -> None:
    for rate in (0.0, 0.02, 0.5, 0.98, 1.0):
        for items, seeds, arms in ((50, 3, 10), (50, 5, 4), (200, 3, 4)):
            families = [
                any(stars(counted(np.full(arms, rate), items, seeds, 0.1))) for _ in range(rounds // 2)
            ]
            what = f"false star in a family: {arms - 1} comparisons, {seeds} seeds, {items} items, true rate {rate:.0%}"
            table.add(what, sum(families), len(families), high=0.05)
    for seeds, arms, shared in ((3, 10, 0.0), (3, 10, 0.8), (5, 10, 0.0), (5, 10, 0.8), (10, 4, 0.5)):
        families = [any(stars(normal(np.zeros(arms), seeds, shared))) for _ in range(rounds)]
        what = f"false star in a family: {arms - 1} comparisons, {seeds} seeds, scores, {shared:.0%} of variance shared"
        table.add(what, sum(families), len(families), high=0.05)


def power(table: Table, rounds: int) -> None:
    for seeds, family, shared in (
        (3, 1, 0.0),
        (3, 9, 0.0),
        (3, 21, 0.0),
        (3, 63, 0.0),
        (5, 9, 0.0),
        (5, 9, 0.8),
    ):
        design = Design(math.sqrt(2 * (1 - shared)), 1) if seeds >= 5 else Design(1.0, 2)
        gain = detectable(design, seeds, LEVEL / family)
        hits = 0
        for _ in range(rounds):
            hits += stars(normal(np.array([0.0] * family + [gain]), seeds, shared))[-1]
        what = f"star for the {gain:.2f} sd that are claimed: family of {family}, {seeds} seeds, {shared:.0%} shared"
        table.add(what, hits, rounds, low=0.8)


def over_items(table: Table, rounds: int) -> None:
    for items, seeds, rate in (
        (3, 1, 0.5),
        (18, 1, 0.9),
        (18, 3, 0.5),
        (200, 1, 0.02),
        (200, 3, 0.5),
        (200, 2, 0.98),
    ):
        false = covered = 0
        for _ in range(rounds):
            hard = DRAW.beta(2 * rate + 1e-9, 2 * (1 - rate) + 1e-9, items)
            a, b = ((DRAW.random((seeds, items)) < hard).sum(axis=0) for _ in range(2))
            found = compare_over_items([Fraction(int(x) - int(y), seeds) for x, y in zip(a, b, strict=True)])
            assert found is not None
            false += found.p < LEVEL
            covered += found.low <= 0 <= found.high
        told = f"{items} items, {seeds} seeds, true rate {rate:.0%}"
        table.add(f"false p < 0.05 over items: {told}", false, rounds, high=0.05)
        table.add(f"interval over items has the true difference: {told}", covered, rounds, low=0.95)


def decided(table: Table, rounds: int) -> None:
    """At the seeds that an undecided claim asks for, from samples of exactly the true mean and spread."""
    about = ClaimSpec(name="c", text="", order=["a", "b"], measure=["T/x"], about=15, within=3)
    chain = ClaimSpec(name="c", text="", order=["a", "b", "c", "d"], measure=["T/x"])
    for claim, means, sd in (
        (about, (15.0, 0.0), 3.0),
        (about, (15.0, 0.0), 2.0),
        (chain, (3.0, 2.0, 1.0, 0.0), 1.0),
    ):
        known = [Sample((m - sd, m, m + sd)) for m in means]
        steps = list(pairwise(known))
        needed = claim_needs(claim, [([pair], pair[0].values[1] - pair[1].values[1]) for pair in steps])
        assert needed is not None
        hits = 0
        for _ in range(rounds):
            arms = [Sample(tuple(DRAW.normal(m, sd, needed))) for m in means]
            verdicts = []
            for a, b in pairwise(arms):
                found = stratified_difference([(a, b)])
                assert found is not None
                verdicts.append(claim.judge(found.low, found.high))
            hits += set(verdicts) == {"supported"}
        told = "15 ± 3" if claim.about else f"an order of {len(means)}"
        table.add(
            f"claim of {told} is decided with the {needed} seeds that are asked for (sd {sd:g})",
            hits,
            rounds,
            low=0.8,
        )


def coverage(table: Table, rounds: int) -> None:
    for rate in (0.5, 0.9, 0.98):
        for seeds in (3, 5):
            inside = told = 0
            for _ in range(rounds):
                right = DRAW.binomial(200, rate, seeds)
                values = [100 * int(r) / 200 for r in right]
                found = seed_mean(values)
                if found.half_width is not None:
                    told += 1
                    inside += abs(found.mean - 100 * rate) <= found.half_width
            table.add(
                f"± over {seeds} seeds has the true mean: 200 items, true rate {rate:.0%}",
                inside,
                told,
                low=0.93,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    table, started = Table(), time.perf_counter()
    for part in (false_stars, power, over_items, decided, coverage):
        part(table, options.rounds)
    told = f"{options.rounds} rounds a line, {time.perf_counter() - started:.0f} s"
    print(told)
    if options.write:
        lines = [f"| {' | '.join(line)} |" for line in table.lines]
        head = "| Simulated | Rate | Bound | |\n|:--|--:|--:|:--|"
        text = "\n".join(
            [
                f"# The report's tests, simulated\n\n`python benches/bench_statistics.py --write`: {told}.\n",
                head,
                *lines,
            ]
        )
        (ROOT / "benches" / "results" / "statistics.md").write_text(f"{text}\n", encoding="utf-8")
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
