"""How many seeds an arm would decide a claim: its verdict, by the test that is used, 4 times in 5."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from toolrl_cli.report.comparisons.claims import ClaimSpec
from toolrl_cli.report.statistics.basics import MIN_SEEDS, pooled_sd
from toolrl_cli.report.statistics.power import POWER, Design, chance_between, seeds_needed
from toolrl_cli.report.statistics.seeds import PAIRED_FROM, Sample, gains, paired

Strata = Sequence[tuple[Sample, Sample]]


def step_needs(claim: ClaimSpec, strata: Strata, difference: float, power: float = POWER) -> int | None:
    """Seeds an arm with which a step is decided as its difference now points; None if too many, or unknown."""
    varying = [side.values for pair in strata for side in pair if side.varies]
    known = all(side.varies or side.constant for pair in strata for side in pair)
    if not varying or not known:
        return None  # the spread of an arm whose seeds all gave one value is unknown
    arms = Design(pooled_sd(varying) or 0.0, len(varying), len(strata))
    pairs = arms
    if all(paired(a, b, MIN_SEEDS) for a, b in strata):
        floor = max((a.resolution**2 + b.resolution**2) / 12 for a, b in strata)
        between = max(pooled_sd([gains(a, b) for a, b in strata]) or 0.0, math.sqrt(floor))
        pairs = Design(between, len(strata), len(strata))
    needed = seeds_needed(
        lambda n: pairs if n >= PAIRED_FROM else arms, partial(_decides, claim, difference), power
    )
    return None if needed is None else max(needed, 1 + min(map(len, varying)))


def claim_needs(claim: ClaimSpec, steps: Sequence[tuple[Strata, float]]) -> int | None:
    """Seeds an arm with which all steps together are decided; None if too many, or unknown.

    A claim falls with one step. Where one points against it, that step decides; else all must hold at once, so that
    each may fail only a share of the times (Boole's bound, whatever their dependence).
    """
    against = [step for step in steps if claim.judge(step[1], step[1]) == "contradicted"]
    if against:
        found = [step_needs(claim, strata, difference) for strata, difference in against]
        return min((n for n in found if n is not None), default=None)
    each = 1 - (1 - POWER) / len(steps)
    all_of_them = [step_needs(claim, strata, difference, each) for strata, difference in steps]
    if any(n is None for n in all_of_them):
        return None
    return max(n for n in all_of_them if n is not None)


def _decides(claim: ClaimSpec, difference: float, half: Any, error: float) -> float:
    """The chance that the interval gives the verdict that the difference itself would."""
    supports = claim.judge(difference, difference) == "supported"
    if claim.about is None or claim.within is None:
        if supports:
            return chance_between(claim.margin + half, math.inf, difference, error)
        return chance_between(-math.inf, claim.margin - half, difference, error)
    floor, ceiling = claim.about - claim.within, claim.about + claim.within
    if supports:
        return chance_between(floor + half, ceiling - half, difference, error)
    below = chance_between(-math.inf, floor - half, difference, error)
    return below + chance_between(ceiling + half, math.inf, difference, error)
