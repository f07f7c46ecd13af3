"""Means over seeds and differences between arms, with the error of the seeds.

Three rules hold everywhere. A spread of zero is not certainty but no information: where all seeds of a side gave one
value, the error of its items stands in for that of its seeds, and without counts of items there is no test. Arms with
the same seeds are paired by seed from `PAIRED_FROM` seeds on: whether is fixed by the design, never by what the data
favour, and with fewer seeds a paired test loses more (half the degrees of freedom) than pairing gains. And a spread of
paired differences counts for at least what one item more or less makes of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from toolrl_cli.report.statistics.basics import (
    CONFIDENCE,
    MIN_SEEDS,
    NO_SPREAD,
    Comparison,
    average,
    spread,
    t_p_value,
    t_quantile,
)

PAIRED_FROM = 5
"""Fewest shared seeds from which two arms are paired by seed."""

WELCH, PAIRED, ITEMS = "Welch", "paired by seed", "items' error"


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds.

    Attributes:
        half_width: of the t interval; None if n is too small or nothing varies.
        sd: None for one value.
        with_items: half-width with the items' error added; None where either is unknown.
    """

    mean: float
    half_width: float | None
    n: int
    sd: float | None
    with_items: float | None = None


@dataclass(frozen=True)
class Sample:
    """One side of a comparison.

    Attributes:
        values: one for each seed.
        constant: its value does not depend on the seed, so that one value is enough.
        seeds: the seed of each value; empty where a value has not exactly one.
        item_error: standard error of one evaluation, from its finite number of items, in the values' unit; None where
            unknown.
        resolution: the smallest step between two possible values: one item.
    """

    values: tuple[float, ...]
    constant: bool = False
    seeds: tuple[int, ...] = ()
    item_error: float | None = None
    resolution: float = 0.0

    @property
    def enough(self) -> bool:
        return len(self.values) >= (1 if self.constant else MIN_SEEDS)

    @property
    def varies(self) -> bool:
        """Whether its seeds gave different values."""
        return len(self.values) > 1 and max(self.values) - min(self.values) > NO_SPREAD


@dataclass(frozen=True)
class Part:
    """An independent piece of a difference's error: its variance, and the degrees of freedom of that estimate."""

    variance: float
    df: float
    test: str


def seed_mean(values: Sequence[float], item_error: float | None = None) -> SeedMean:
    """Mean with a Student t interval over seeds; none for fewer than `MIN_SEEDS` values, or equal ones.

    Args:
        item_error: standard error of one evaluation from its items; seeds share the items, so that it does not shrink
            with their number.

    Raises:
        ValueError: no values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values")
    mean = average(values)
    sd = spread(values) if n > 1 else None
    if sd is None or n < MIN_SEEDS or max(values) - min(values) <= NO_SPREAD:
        return SeedMean(mean, None, n, sd)
    share = 0.5 + CONFIDENCE / 2
    half = t_quantile(n - 1, share) * sd / math.sqrt(n)
    both = None
    if item_error is not None:
        parts = [Part(sd**2 / n, n - 1, WELCH), Part(item_error**2, math.inf, ITEMS)]
        variance = math.fsum(part.variance for part in parts)
        both = t_quantile(satterthwaite(parts), share) * math.sqrt(variance)
    return SeedMean(mean, half, n, sd, both)


def satterthwaite(parts: Sequence[Part]) -> float:
    """Degrees of freedom of a sum of estimated variances (Satterthwaite 1946)."""
    below = math.fsum(part.variance**2 / part.df for part in parts)
    return math.fsum(part.variance for part in parts) ** 2 / below if below else math.inf


def paired(a: Sample, b: Sample, paired_from: int = PAIRED_FROM) -> bool:
    """Whether two arms are paired by seed: the same seeds, enough of them, and both sides vary."""
    same = bool(a.seeds) and len(set(a.seeds)) == len(a.seeds) and set(a.seeds) == set(b.seeds)
    return same and len(a.seeds) >= paired_from and a.varies and b.varies


def gains(a: Sample, b: Sample) -> list[float]:
    """a - b of each seed of two arms with the same seeds."""
    other = dict(zip(b.seeds, b.values, strict=True))
    return [value - other[seed] for seed, value in zip(a.seeds, a.values, strict=True)]


def parts_of(a: Sample, b: Sample, paired_from: int = PAIRED_FROM) -> list[Part] | None:
    """The pieces of the error of mean(a) - mean(b); None if one of them is unknown."""
    if not (a.enough and b.enough):
        return None
    if paired(a, b, paired_from):
        n = len(a.seeds)
        # both values are known to one item, so that their difference has this much spread at least
        floor = (a.resolution**2 + b.resolution**2) / 12
        variance = max(spread(gains(a, b)) ** 2, floor)
        return [Part(variance / n, n - 1, PAIRED)] if variance > NO_SPREAD**2 else None
    parts = []
    for side in (a, b):
        if side.varies:
            parts.append(Part(spread(side.values) ** 2 / len(side.values), len(side.values) - 1, WELCH))
    for side in (a, b):
        # a value that no seed changes is exact beside seeds that vary; where nothing varies, the items are all there is
        if side.varies or (side.constant and parts):
            continue
        if not side.item_error:
            return None
        parts.append(Part(side.item_error**2, math.inf, ITEMS))
    return parts


def stratified_difference(
    strata: Sequence[tuple[Sample, Sample]], paired_from: int = PAIRED_FROM
) -> Comparison | None:
    """The difference a - b averaged over strata (models, benchmarks) with equal weights.

    Variances are added up and the degrees of freedom are Satterthwaite's. With one stratum this is the paired t test
    where the arms are paired by seed, else Welch's test, and against a constant side the one-sample t test. None
    without strata, if a side has too few seeds, or if an error is unknown. `n` is the number of values.
    """
    found = [parts_of(a, b, paired_from) for a, b in strata]
    if not found or any(parts is None for parts in found):
        return None
    parts = [part for parts in found for part in parts or ()]
    means = [average(side.values) for pair in strata for side in pair]
    difference = math.fsum(means[::2]) / len(strata) - math.fsum(means[1::2]) / len(strata)
    error = math.sqrt(math.fsum(part.variance for part in parts)) / len(strata)
    df = satterthwaite(parts)
    half = t_quantile(df, 0.5 + CONFIDENCE / 2) * error
    n = sum(len(side.values) for pair in strata for side in pair)
    test = " and ".join(dict.fromkeys(part.test for part in parts))
    p = t_p_value(df, difference / error)
    return Comparison(difference, difference - half, difference + half, p, n, test)


def compare(a: Sample, b: Sample, paired_from: int = PAIRED_FROM) -> Comparison | None:
    """The test of mean(a) - mean(b); None if it is not possible (see `stratified_difference`)."""
    return stratified_difference([(a, b)], paired_from=paired_from)
