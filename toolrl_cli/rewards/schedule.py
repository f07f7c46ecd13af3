"""Schedules: values that depend only on the step, so that a resumed run continues unchanged.

A schedule is a list of points (position, value) and a rule for the positions between them. Positions are
verl's global steps (1 at the first update, 0 in the validation before training), or shares of the run's own
length in [0, 1]. Values are numbers, or [low, high] pairs for ranges.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from toolrl_cli.rewards.errors import RewardError, nearest, shown

KINDS = ("constant", "step", "linear", "cosine")
UNITS = ("steps", "share")
Values = tuple[float, ...]


@dataclass(frozen=True)
class Schedule:
    """A value at every step.

    Attributes:
        kind: rule between points: `step` keeps the earlier value, `linear` and `cosine` interpolate; before the
            first and after the last point the value is constant.
        unit: unit of positions: `steps`, or `share` of the run.
        points: (position, value), ascending by position; a value is a tuple of one or two numbers.
        extrapolate: a linear schedule continues after its last point with the slope of its last segment.
    """

    kind: str
    unit: str
    points: tuple[tuple[float, Values], ...]
    extrapolate: bool = False

    def at(self, step: int, total_steps: int | None = None) -> Values:
        """The value at verl's global step `step` of a run of `total_steps` steps.

        Raises:
            RewardError: positions are shares of the run, and `total_steps` is None.
        """
        here = self._position(step, total_steps)
        after = bisect_right(self.points, here, key=lambda point: point[0])
        if after == 0:
            return self.points[0][1]
        if self.kind in ("constant", "step") or (after == len(self.points) and not self.extrapolate):
            return self.points[after - 1][1]
        after = min(after, len(self.points) - 1)
        (begin, low), (end, high) = self.points[after - 1], self.points[after]
        done = (here - begin) / (end - begin)
        if self.kind == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return tuple(a + (b - a) * done for a, b in zip(low, high, strict=True))

    def _position(self, step: int, total_steps: int | None) -> float:
        if self.unit == "steps":
            return step
        if total_steps is None or total_steps < 1:
            raise RewardError(
                f"a schedule over a share of the run needs its length, and total_steps is {total_steps}",
                hint="pass total_steps, or write the schedule with unit: steps",
            )
        return min(max(step / total_steps, 0.0), 1.0)

    def scaled(self, factor: float) -> Schedule:
        """The same schedule with every value multiplied."""
        points = tuple((at, tuple(value * factor for value in values)) for at, values in self.points)
        return Schedule(self.kind, self.unit, points, self.extrapolate)

    def to_dict(self) -> dict[str, Any]:
        """Canonical mapping: `kind`, `unit`, `points`; `parse_schedule` builds an equal schedule from it."""
        points = [
            [int(at) if self.unit == "steps" else float(at), values[0] if len(values) == 1 else list(values)]
            for at, values in self.points
        ]
        out: dict[str, Any] = {"kind": self.kind, "points": points, "unit": self.unit}
        return {"extrapolate": True, **out} if self.extrapolate else out


def parse_schedule(raw: Any, where: str, width: int, final: Values | None = None) -> Schedule:
    """Reads a schedule.

    Two forms: `{kind, points: [[position, value], ...]}`, and the short one with two points,
    `{kind: step, at, from, to}` or `{kind: linear | cosine, start, until, from, to}`; `start` defaults to 0 and
    `to` to `final`. `{kind: constant, value}` never changes. `unit` is `steps` or `share`.

    Args:
        raw: the mapping.
        where: key path, for messages.
        width: numbers in a value: 1, or 2 for a range.
        final: default of `to`; None makes `to` required.

    Raises:
        RewardError: a key or value does not fit these forms.
    """
    if not isinstance(raw, Mapping):
        raise RewardError(f"a schedule is a mapping, not {shown(raw)}", where, "kind, until, from, to")
    kind, unit = raw.get("kind"), raw.get("unit", "steps")
    if kind not in KINDS:
        raise RewardError(f"{shown(kind)} is no kind of schedule", f"{where}.kind", nearest(str(kind), KINDS))
    if unit not in UNITS:
        raise RewardError(f"{shown(unit)} is no unit of steps", f"{where}.unit", nearest(str(unit), UNITS))
    extrapolate = raw.get("extrapolate", False)
    if not isinstance(extrapolate, bool) or (extrapolate and kind != "linear"):
        raise RewardError(f"{shown(extrapolate)} does not fit {kind}", f"{where}.extrapolate", "linear only")
    allowed = {"points"} if "points" in raw else _SHORT[kind]
    for key in raw:
        if key not in allowed | {"kind", "unit", "extrapolate"}:
            raise RewardError(f"{shown(key)} is not known here", f"{where}.{key}", nearest(str(key), allowed))
    pairs = _listed(raw["points"], where) if "points" in raw else _short(raw, kind, where, final)
    points = tuple((_place(at, unit, where), as_values(value, where, width)) for at, value in pairs)
    places = [at for at, _ in points]
    if any(a >= b for a, b in pairwise(places)):
        raise RewardError(f"positions must rise, and are {places}", where)
    if len(points) < 2 and kind != "constant":
        raise RewardError(f"{kind} needs two points or more", where, "use a plain number for a constant")
    if len(points) > 1 and kind == "constant":
        raise RewardError(
            f"constant has one value, and these are {len(points)}", where, "step changes at points"
        )
    return Schedule(kind, unit, points, extrapolate)


_SHORT = {
    "constant": {"value"},
    "step": {"at", "from", "to"},
    "linear": {"start", "until", "from", "to"},
    "cosine": {"start", "until", "from", "to"},
}


def _listed(points: Any, where: str) -> list[tuple[Any, Any]]:
    if isinstance(points, (list, tuple)) and points and all(_is_pair(point) for point in points):
        return [(at, value) for at, value in points]
    raise RewardError("points are a list of [position, value]", f"{where}.points", f"not {shown(points)}")


def _is_pair(point: Any) -> bool:
    return isinstance(point, (list, tuple)) and len(point) == 2


def _short(raw: Mapping[str, Any], kind: str, where: str, final: Values | None) -> list[tuple[Any, Any]]:
    def need(key: str) -> Any:
        if key not in raw:
            raise RewardError(f"{kind} needs {key!r}", where)
        return raw[key]

    if kind == "constant":
        return [(0, need("value"))]
    to = need("to") if final is None else raw.get("to", final)
    if kind == "step":
        return [(0, need("from")), (need("at"), to)]
    return [(raw.get("start", 0), need("from")), (need("until"), to)]


def _place(at: Any, unit: str, where: str) -> float:
    if unit == "steps":
        if isinstance(at, bool) or not isinstance(at, int) or at < 0:
            raise RewardError(
                f"{shown(at)} is no whole number of steps", where, "unit: share counts from 0 to 1"
            )
        return at
    place = as_number(at, where)
    if not 0 <= place <= 1:
        raise RewardError(f"{at} is no share of a run", where, "from 0 to 1, or unit: steps")
    return place


def as_number(raw: Any, where: str) -> float:
    """A finite number, checked.

    Raises:
        RewardError: it is not a finite number.
    """
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
        raise RewardError(f"{shown(raw)} is no finite number", where)
    return float(raw)


def as_values(raw: Any, where: str, width: int) -> Values:
    """A number as a tuple of one number, or a [low, high] pair with low <= high as a tuple of two.

    Raises:
        RewardError: it is not that.
    """
    if width == 1:
        return (as_number(raw, where),)
    if not _is_pair(raw):
        raise RewardError(f"a range is [low, high], not {shown(raw)}", where)
    low, high = (as_number(end, where) for end in raw)
    if low > high:
        raise RewardError(f"the range [{low:g}, {high:g}] is upside down", where)
    return (low, high)


def number_or_schedule(raw: Any, where: str) -> float | Schedule:
    """A number, or a schedule of numbers if a mapping is given.

    Raises:
        RewardError: it is neither.
    """
    if isinstance(raw, Mapping):
        return parse_schedule(raw, where, 1)
    return as_number(raw, where)
