"""The statistics of the report, as functions of plain numbers.

There are two separate sources of error. *Seed variance*: another seed gives another model; estimated from the spread
over seeds (`seed_mean`, `welch`). *Sampling error*: the benchmark has a finite number of items; estimated from
counts and per-item verdicts (`wilson`, `mcnemar`, `paired_bootstrap`). Neither includes the other.

Only `scipy.special` and numpy are used, imported on first use: `scipy.stats` takes a second to import.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
MIN_SEEDS = 3
"""Fewest seeds for an interval or a test: the spread of two values is too uncertain."""


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds. `half_width` of the t interval and `sd` are None if n is too small."""

    mean: float
    half_width: float | None
    n: int
    sd: float | None


@dataclass(frozen=True)
class Comparison:
    """A difference a - b with its 95 % interval and two-sided p value."""

    difference: float
    low: float
    high: float
    p: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def average(values: Sequence[float]) -> float:
    """The mean; for equal values exactly that value, without rounding errors."""
    return min(max(math.fsum(values) / len(values), min(values)), max(values))


def seed_mean(values: Sequence[float], confidence: float = CONFIDENCE) -> SeedMean:
    """Mean with a Student t interval over seeds; no interval for fewer than `MIN_SEEDS` values.

    Raises:
        ValueError: no values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values")
    mean = average(values)
    sd = _sd(values) if n > 1 else None
    if sd is None or n < MIN_SEEDS:
        return SeedMean(mean, None, n, sd)
    return SeedMean(mean, t_quantile(n - 1, 0.5 + confidence / 2) * sd / math.sqrt(n), n, sd)


def wilson(correct: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson score interval of a share `correct / total`.

    Raises:
        ValueError: the counts are not a share.
    """
    if total <= 0 or not 0 <= correct <= total:
        raise ValueError(f"{correct} of {total} is no share")
    z = _normal_quantile(0.5 + confidence / 2)
    share, z2 = correct / total, z * z
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = z / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == total else min(1.0, centre + half)
    return low, high


@dataclass(frozen=True)
class Sample:
    """One side of a comparison; `constant` if its value does not depend on the seed, so that one value is enough."""

    values: tuple[float, ...]
    constant: bool = False

    @property
    def enough(self) -> bool:
        return len(self.values) >= (1 if self.constant else MIN_SEEDS)


def stratified_difference(
    strata: Sequence[tuple[Sample, Sample]], confidence: float = CONFIDENCE
) -> Comparison | None:
    """The difference a - b averaged over strata (models, benchmarks) with equal weights.

    Variances of all arms are added up and the degrees of freedom are Satterthwaite's; with one stratum this is
    Welch's test, and against a constant side the one-sample t test. None without strata, if a side has too few
    seeds, or if no side varies. `n` is the number of values.
    """
    arms = [arm for pair in strata for arm in pair]
    if not all(arm.enough for arm in arms) or all(arm.constant for arm in arms):
        return None
    means = [average(arm.values) for arm in arms]
    difference = math.fsum(means[::2]) / len(strata) - math.fsum(means[1::2]) / len(strata)
    parts = [
        (_sd(arm.values) ** 2 / len(arm.values) / len(strata) ** 2, len(arm.values) - 1)
        for arm in arms
        if not arm.constant
    ]
    variance, n = math.fsum(v for v, _ in parts), sum(len(arm.values) for arm in arms)
    if variance == 0:
        return Comparison(difference, difference, difference, 1.0 if difference == 0 else 0.0, n)
    df = variance**2 / math.fsum(v * v / k for v, k in parts)
    half = t_quantile(df, 0.5 + confidence / 2) * math.sqrt(variance)
    p = 2 * _t_cdf(df, -abs(difference) / math.sqrt(variance))
    return Comparison(difference, difference - half, difference + half, p, n)


def welch(a: Sample, b: Sample, confidence: float = CONFIDENCE) -> Comparison | None:
    """Welch's t test of mean(a) - mean(b); None if it is not possible (see `stratified_difference`)."""
    return stratified_difference([(a, b)], confidence)


def tied(a: Sample, b: Sample) -> bool:
    """Whether two arms cannot be distinguished.

    If Welch's test is possible: whether its interval of the difference includes zero. Otherwise only equal means are
    tied.
    """
    comparison = welch(a, b)
    if comparison is None:
        return math.isclose(average(a.values), average(b.values), rel_tol=1e-12, abs_tol=1e-12)
    return not comparison.excludes_zero


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided McNemar p value from the discordant counts.

    Args:
        only_a: items that a answers correctly and b does not.
        only_b: the reverse.

    Raises:
        ValueError: a count is negative.
    """
    from scipy.special import bdtr

    if only_a < 0 or only_b < 0:
        raise ValueError("counts cannot be negative")
    discordant = only_a + only_b
    if discordant == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), discordant, 0.5)))


def paired_bootstrap(
    a: Mapping[str, Sequence[bool]],
    b: Mapping[str, Sequence[bool]],
    resamples: int = 10_000,
    confidence: float = CONFIDENCE,
) -> Comparison | None:
    """Difference in share correct between two arms, with the sampling error of the items they share.

    Items are the clusters: an item's verdicts over seeds are drawn together.

    Args:
        a, b: item id → its verdicts, one per seed; items that only one arm has are left out.

    Returns:
        See `bootstrap_mean`; `n` is the number of common items.
    """
    common = sorted(i for i in a.keys() & b.keys() if a[i] and b[i])
    differences = [sum(a[i]) / len(a[i]) - sum(b[i]) / len(b[i]) for i in common]
    return bootstrap_mean(differences, resamples, confidence)


def bootstrap_mean(
    values: Sequence[float], resamples: int = 10_000, confidence: float = CONFIDENCE
) -> Comparison | None:
    """The mean of paired differences with a percentile bootstrap interval.

    The random seed is a hash of the values, so that the same results give the same digits.

    Returns:
        The interval, and the share of resamples on the far side of zero, doubled, as p (never below
        1 / `resamples`). None with fewer than two values.
    """
    import numpy as np

    n = len(values)
    if n < 2:
        return None
    # Few differences are distinct, so a resample is a draw of how often each occurs: the same distribution as
    # drawing items one by one, and the cost does not grow with their number.
    distinct, counts = np.unique(np.round(np.asarray(values, dtype=np.float64), 12), return_counts=True)
    digest = hashlib.sha256(distinct.tobytes() + counts.astype(np.int64).tobytes()).digest()
    generator = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
    means = generator.multinomial(n, counts / n, size=resamples) @ distinct / n
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    # Rounding moves resampled means away from zero; an exact zero counts on both sides.
    tail = min((means <= 1e-12).mean(), (means >= -1e-12).mean())
    p = min(1.0, max(2 * float(tail), 1 / resamples))
    return Comparison(math.fsum(values) / n, float(low), float(high), p, n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given (controls the family-wise error rate)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def minimum_detectable_difference(
    sd: float, n: int, power: float = 0.8, alpha: float = 1 - CONFIDENCE
) -> float | None:
    """The smallest true difference between two arms of n seeds each that a two-sided t test finds with this power.

    Args:
        sd: standard deviation over seeds, equal in both arms; the result has its unit.

    Returns:
        None for n < 2, where no test exists.
    """
    from scipy.special import nctdtr

    if n < 2:
        return None
    if sd == 0:
        return 0.0
    df = 2 * (n - 1)
    critical = t_quantile(df, 1 - alpha / 2)

    def reached(noncentrality: float) -> float:
        beyond = 1 - float(nctdtr(df, noncentrality, critical))
        return beyond + float(nctdtr(df, noncentrality, -critical))

    low, high = 0.0, 1.0
    while reached(high) < power:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) < power else (low, middle)
    return high * sd * math.sqrt(2 / n)


def seeds_needed(sd: float, difference: float, power: float = 0.8, limit: int = 1000) -> int | None:
    """Smallest n per arm at which a true difference would be found with this power; None if above `limit`."""
    if sd == 0:
        return MIN_SEEDS if difference else None

    def enough(n: int) -> bool:
        detectable = minimum_detectable_difference(sd, n, power)
        return detectable is not None and detectable <= abs(difference)

    if not difference or not enough(limit):
        return None
    low, high = MIN_SEEDS - 1, limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def pooled_sd(groups: Sequence[Sequence[float]]) -> float | None:
    """Standard deviation within groups, pooled by degrees of freedom; None if no group has two values."""
    squares, df = 0.0, 0
    for values in groups:
        if len(values) > 1:
            squares += _squares(values)
            df += len(values) - 1
    return math.sqrt(squares / df) if df else None


def t_quantile(df: float, share: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(df, share))


def _t_cdf(df: float, value: float) -> float:
    from scipy.special import stdtr

    return float(stdtr(df, value))


def _normal_quantile(share: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(share))


def _sd(values: Sequence[float]) -> float:
    return math.sqrt(_squares(values) / (len(values) - 1))


def _squares(values: Sequence[float]) -> float:
    """The sum of squared distances from the mean."""
    mean = average(values)
    return math.fsum((v - mean) ** 2 for v in values)
