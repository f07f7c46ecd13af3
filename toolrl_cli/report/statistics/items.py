"""The error that a benchmark's finite number of items makes, from counts and from per-item verdicts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

from toolrl_cli.report.statistics.basics import CONFIDENCE, Comparison, t_p_value, t_quantile

SUPPORT = 200_000
"""Most sums over which a distribution is enumerated; beyond, a normal one of the same variance stands in."""


def wilson(correct: int, total: int) -> tuple[float, float]:
    """Wilson score interval of a share `correct / total`.

    Raises:
        ValueError: the counts are not a share.
    """
    if total <= 0 or not 0 <= correct <= total:
        raise ValueError(f"{correct} of {total} is no share")
    z = t_quantile(math.inf, 0.5 + CONFIDENCE / 2)
    share, z2 = correct / total, z * z
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = z / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == total else min(1.0, centre + half)
    return low, high


def wilson_error(half_width: float) -> float:
    """The standard error that a 95 % Wilson interval of this half-width stands for; never zero, even for 0 of n."""
    return half_width / t_quantile(math.inf, 0.5 + CONFIDENCE / 2)


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided sign test of two counts, which is McNemar's where each side has one verdict an item.

    Args:
        only_a: items that a answers right more often than b.
        only_b: the reverse. Items that both answer equally often say nothing and are not among them.

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


def item_differences(a: Mapping[str, Sequence[bool]], b: Mapping[str, Sequence[bool]]) -> dict[str, Fraction]:
    """Item → share of right verdicts of a minus that of b, for the items that both answered."""
    common = sorted(i for i in a.keys() & b.keys() if a[i] and b[i])
    return {i: Fraction(sum(a[i]), len(a[i])) - Fraction(sum(b[i]), len(b[i])) for i in common}


def compare_over_items(differences: Sequence[Fraction]) -> Comparison | None:
    """The mean of paired differences of items, with the error of their finite number.

    Each item is one piece of evidence, however many seeds answered it. p is the exact sign-flip test: were the arms
    equal, each item's difference might as well have the other sign. With one verdict an item that is McNemar's exact
    test, and like that it cannot fall below what few items allow (three items: 0.25). The interval is Bonett and
    Price's (2012) for paired shares, carried over to several verdicts an item: Wald's with one more item for and one
    against; it is cut to -1..1.

    Returns:
        None with fewer than two items; `n` is their number.
    """
    n = len(differences)
    if n < 2:
        return None
    total, squared = sum(differences), sum(d * d for d in differences)
    centre = total / (n + 2)
    variance = (float((squared + 2) / (n + 2)) - float(centre) ** 2) / (n + 2)
    half = t_quantile(math.inf, 0.5 + CONFIDENCE / 2) * math.sqrt(variance)
    found = Comparison(
        float(total / n), float(centre) - half, float(centre) + half, sign_flips(differences), n, ITEM_TEST
    )
    return found.within(1.0)


ITEM_TEST = "items, exact"


def sign_flips(differences: Sequence[Fraction]) -> float:
    """Two-sided p of the sum under all changes of signs, exact where the sums can be enumerated."""
    import numpy as np

    whole = math.lcm(*(d.denominator for d in differences))
    scaled = [int(d * whole) for d in differences if d]
    if not scaled:
        return 1.0
    divisor = math.gcd(*scaled)
    counts = Counter(abs(k) // divisor for k in scaled)
    observed = abs(sum(scaled)) // divisor
    if observed == 0:
        return 1.0
    support = sum(size * count for size, count in counts.items())
    if support > SUPPORT:
        return t_p_value(math.inf, observed / math.sqrt(sum(k * k * c for k, c in counts.items())))
    chances = np.ones(1)  # of the sum of what is positive
    for size, count in sorted(counts.items()):
        step = np.zeros(size * count + 1)
        step[::size] = _fair_coins(count)
        chances = np.convolve(chances, step)
    tail = float(chances[(support + observed + 1) // 2 :].sum())
    return min(1.0, 2 * tail)


def _fair_coins(count: int) -> list[float]:
    """The chance of each number of heads among `count` fair coins, each rounded once."""
    ways, chances = 1, []
    for heads in range(count + 1):
        chances.append(ways / 2**count)
        ways = ways * (count - heads) // (heads + 1)
    return chances
