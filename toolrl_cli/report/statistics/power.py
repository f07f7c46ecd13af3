"""How often a test over seeds finds a difference: for the test that is used, at the level that its family leaves it.

With n seeds an arm, the spreads themselves are estimates, and Welch's degrees of freedom depend on them. So the chance
is averaged over the spreads that n seeds may show (draws of a fixed stratified sample of chi-squared variances); given
those, it is a normal probability and exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from toolrl_cli.report.statistics.basics import LEVEL, MIN_SEEDS

POWER = 0.8
DRAWS = 2_000
MOST_SEEDS = 1_000

Chance = Callable[[Any, float], float]
"""(half-widths of the interval in as many draws, standard error of the difference) → the chance of what is wanted."""


@dataclass(frozen=True)
class Design:
    """The error of a difference with n seeds an arm.

    Attributes:
        sd: spread over seeds of one part (an arm; or the difference of two arms that are paired by seed).
        parts: number of independent parts.
        strata: number of differences that are averaged.
    """

    sd: float
    parts: int
    strata: int = 1

    def error(self, n: int) -> float:
        """The standard error of the difference."""
        return self.sd * math.sqrt(self.parts / n) / self.strata


def detectable(design: Design, n: int, level: float = LEVEL) -> float:
    """The smallest true difference that the two-sided test finds with the power `POWER`.

    Args:
        n: seeds an arm, at least two.
        level: of this one test; a family's level over its number of tests is Holm's strictest step.
    """
    factors = _half_widths(design.parts, n, level)
    low, high = 0.0, 1.0
    while _found(high, factors) < POWER:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if _found(middle, factors) >= POWER else (middle, high)
    return high * design.error(n)


def seeds_needed(design_at: Callable[[int], Design], chance: Chance, power: float = POWER) -> int | None:
    """Smallest n an arm at which `chance` reaches `power`; None above `MOST_SEEDS`.

    Args:
        design_at: the design with n seeds, which a test may pair from some n on.
    """

    def enough(n: int) -> bool:
        design = design_at(n)
        error = design.error(n)
        return error == 0 or chance(_half_widths(design.parts, n, LEVEL) * error, error) >= power

    if not enough(MOST_SEEDS):
        return None
    low, high = MIN_SEEDS - 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def chance_between(low: Any, high: Any, at: float, error: float) -> float:
    """Mean over draws of the chance that an estimate around `at` falls between two ends; 0 where they cross."""
    import numpy as np
    from scipy.special import ndtr

    return float(np.maximum(ndtr((high - at) / error) - ndtr((low - at) / error), 0).mean())


def _found(difference: float, factors: Any) -> float:
    """The chance that an interval excludes zero; all in units of the standard error."""
    return 1 - chance_between(-factors, factors, difference, 1.0)


@lru_cache(maxsize=256)
def _half_widths(parts: int, n: int, level: float) -> Any:
    """Half-widths of the interval in each draw, in units of the true standard error."""
    import numpy as np
    from scipy.special import gammaincinv, stdtrit

    generator = np.random.default_rng(0)
    grid = (np.arange(DRAWS) + 0.5) / DRAWS
    half = (n - 1) / 2
    drawn = gammaincinv(half, grid) / half  # variances over their expectation
    variances = np.stack([generator.permutation(drawn) for _ in range(parts)])
    total = variances.sum(axis=0)
    df = total**2 / (variances**2).sum(axis=0) * (n - 1)
    return stdtrit(df, 1 - level / 2) * np.sqrt(total / parts)
