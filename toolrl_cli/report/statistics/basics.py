"""What the other modules share: means, spreads, quantiles, comparisons, and the correction for many tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

CONFIDENCE = 0.95
LEVEL = 0.05
MIN_SEEDS = 3
"""Fewest seeds for an interval or a test: the spread of two values is too uncertain."""

NO_SPREAD = 1e-9
"""Values that lie closer together than this, in their unit, are equal: the rest is rounding in the last bits."""


@dataclass(frozen=True)
class Comparison:
    """A difference a - b with its 95 % interval and two-sided p value.

    Attributes:
        n: number of values, or of items.
        test: what the interval and p rest on, in words.
    """

    difference: float
    low: float
    high: float
    p: float
    n: int
    test: str = ""

    def within(self, limit: float) -> Comparison:
        """The same with its interval cut to -limit..limit, beyond which no difference can lie."""
        return replace(self, low=max(self.low, -limit), high=min(self.high, limit))


def average(values: Sequence[float]) -> float:
    """The mean; for equal values exactly that value, without rounding errors."""
    return min(max(math.fsum(values) / len(values), min(values)), max(values))


def spread(values: Sequence[float]) -> float:
    """The standard deviation of two or more values, with n - 1."""
    return math.sqrt(squares(values) / (len(values) - 1))


def squares(values: Sequence[float]) -> float:
    """The sum of squared distances from the mean."""
    mean = average(values)
    return math.fsum((v - mean) ** 2 for v in values)


def pooled_sd(groups: Sequence[Sequence[float]]) -> float | None:
    """Standard deviation within groups, pooled by degrees of freedom; None if no group has two values."""
    total, df = 0.0, 0
    for values in groups:
        if len(values) > 1:
            total += squares(values)
            df += len(values) - 1
    return math.sqrt(total / df) if df else None


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given (controls the family-wise error rate)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def t_quantile(df: float, share: float) -> float:
    """Quantile of Student's t; of the normal distribution where `df` is infinite."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri(share) if math.isinf(df) else stdtrit(df, share))


def t_p_value(df: float, t: float) -> float:
    """Two-sided p of a t statistic; of a normal one where `df` is infinite."""
    from scipy.special import ndtr, stdtr

    return 2 * float(ndtr(-abs(t)) if math.isinf(df) else stdtr(df, -abs(t)))
