"""Conditions: `exact` (that part has its highest value), `not think`, `wants_call`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from toolrl_cli.rewards.errors import RewardError, shown
from toolrl_cli.rewards.reading import Reading

ROW_CONDITIONS = ("wants_call", "wants_response")
"""Conditions that the gold turn decides; all others are the names of parts."""


def parts_of(conditions: Iterable[str]) -> tuple[str, ...]:
    """The parts that conditions speak of."""
    names = (condition.removeprefix("not ") for condition in conditions)
    return tuple(name for name in names if name not in ROW_CONDITIONS)


def holds(condition: str, reading: Reading) -> bool:
    """Whether it holds: a part has its highest value, the gold turn wants a call or a response; or `not` so."""
    name = condition.removeprefix("not ")
    if name in ROW_CONDITIONS:
        truth = reading.truth
        true = truth.wants_call if name == "wants_call" else truth.wants_response
    else:
        true = reading.shares[name] >= 1.0 - 1e-9
    return true is not condition.startswith("not ")


def parse_conditions(raw: Any, where: str) -> tuple[str, ...]:
    """One condition, or a list of them that all have to hold.

    Raises:
        RewardError: it is neither. Whether a named part exists is known when all are read.
    """
    given = [raw] if isinstance(raw, str) else raw
    if not isinstance(given, (list, tuple)) or not given or not all(isinstance(each, str) for each in given):
        raise RewardError(
            f"{shown(raw)} is no condition", where, "names of parts, such as [exact, not think]"
        )
    return tuple(" ".join(each.split()) for each in given)
