"""Quantities that are known only between bounds: low–expected–high."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """A quantity with what it is expected to be and the bounds it should lie within; low ≤ expected ≤ high."""

    low: float
    expected: float
    high: float

    def __mul__(self, factor: float) -> Range:
        return Range(self.low * factor, self.expected * factor, self.high * factor)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def less(self, amount: float) -> Range:
        """What is left of it after `amount`; nothing is the least."""
        return Range(*(max(0.0, value - amount) for value in (self.low, self.expected, self.high)))

    def scaled(self, by: Range) -> Range:
        """The product of two positive quantities that are known between bounds."""
        return Range(self.low * by.low, self.expected * by.expected, self.high * by.high)

    def widened(self, factor: float) -> Range:
        """The same expectation between bounds that lie `factor` ≥ 1 times further out."""
        return Range(self.low / factor, self.expected, self.high * factor)

    def to_json(self) -> dict[str, float]:
        """Stable keys."""
        return {"low": self.low, "expected": self.expected, "high": self.high}


NONE = Range(0.0, 0.0, 0.0)


def exactly(value: float) -> Range:
    """A quantity that is known."""
    return Range(value, value, value)


def between(*values: float) -> Range:
    """From the least to the greatest, with the middle of the two expected."""
    low, high = min(values), max(values)
    return Range(low, (low + high) / 2, high)


def total(ranges: Iterable[Range]) -> Range:
    """The sum, bound by bound: as if all were low, or all high, together."""
    low = expected = high = 0.0
    for one in ranges:
        low, expected, high = low + one.low, expected + one.expected, high + one.high
    return Range(low, expected, high)
