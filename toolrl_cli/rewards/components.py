"""The built-in components of a reward, each a frozen dataclass that scores a reading.

A component has a `raw` value on its own range; the reward multiplies it by the component's weight at that
step. A change of scale that multiplies the range by a factor is written as a schedule of the weight, so that raw
values stay comparable over the run. Any other change of the range has a schedule of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from toolrl_cli.rewards.errors import RewardError
from toolrl_cli.rewards.matching import correct_share
from toolrl_cli.rewards.reading import Reading, format_holds, think_words
from toolrl_cli.rewards.schedule import Schedule

Range = tuple[float, float]
UNBOUNDED: Range = (float("-inf"), float("inf"))
FIDELITIES = ("released", "paper")


@dataclass(frozen=True)
class Component(ABC):
    """What all components have.

    Attributes:
        name: the name of its part in scores and logs.
        range: [low, high] of its raw value; None for a user component that declares no range.
        range_schedule: the range at each step, where it changes by more than a factor.
        weight: a factor, or a schedule of factors.
    """

    name: str
    range: Range | None = (0.0, 1.0)
    range_schedule: Schedule | None = None
    weight: float | Schedule = 1.0

    kind: ClassVar[str]

    def weight_at(self, step: int, total_steps: int | None) -> float:
        """The factor at `step`."""
        if isinstance(self.weight, Schedule):
            return self.weight.at(step, total_steps)[0]
        return self.weight

    def range_at(self, step: int, total_steps: int | None) -> Range:
        """[low, high] of the raw value at `step`; infinite where no range is declared."""
        if self.range_schedule is not None:
            low, high = self.range_schedule.at(step, total_steps)
            return low, high
        return self.range or UNBOUNDED

    def at_step(self, step: int, total_steps: int | None) -> Component:
        """The component with its schedules, except those of range and weight, replaced by values at `step`."""
        return self

    @abstractmethod
    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        """The component's value, on the range [low, high] that it has at the reading's step."""

    def reach(self, reading: Reading | None, fidelity: str, low: float, high: float) -> Range:
        """[least, most] raw value that any completion can have beside this reading's ground truth.

        Without a reading: over all ground truths.
        """
        return low, high

    def to_dict(self) -> dict[str, Any]:
        """Canonical mapping, from which the reward's parser builds an equal component."""
        weight = self.weight.to_dict() if isinstance(self.weight, Schedule) else self.weight
        out: dict[str, Any] = {"kind": self.kind, "weight": weight}
        out["range"] = None if self.range is None else list(self.range)
        if self.range_schedule is not None:
            out["schedule"] = self.range_schedule.to_dict()
        return out


@dataclass(frozen=True)
class Format(Component):
    """High end of the range if the turn has the ground truth's fields in order, else the low end."""

    kind: ClassVar[str] = "format"

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        truth = reading.truth
        return high if format_holds(reading.turn, truth.wants_call, truth.wants_response) else low


@dataclass(frozen=True)
class Correctness(Component):
    """How well the predicted calls match the ground truth's, from low (nothing) to high (everything).

    Where the ground truth has no call, `released` gives 0 whatever was predicted, and `paper` applies its
    formula to the empty set: high if nothing is called, else low.
    """

    range: Range | None = (-3.0, 3.0)
    granularity: str = "original"

    kind: ClassVar[str] = "correctness"

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        if reading.truth.wants_call:
            share = correct_share(reading.truth, reading.calls, self.granularity, fidelity)
        elif fidelity == "released":
            return 0.0
        else:
            share = float(not reading.tries_call)
        return high if share >= 1.0 else low + (high - low) * share

    def reach(self, reading: Reading | None, fidelity: str, low: float, high: float) -> Range:
        if fidelity == "paper" or (reading is not None and reading.truth.wants_call):
            return low, high
        return (min(low, 0.0), max(high, 0.0)) if reading is None else (0.0, 0.0)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "granularity": self.granularity}


@dataclass(frozen=True)
class Length(Component):
    """Words of the think block over a target, at most 1; `released` rounds the ratio to two decimals."""

    target: float | Schedule = 512.0

    kind: ClassVar[str] = "length"

    def target_at(self, step: int, total_steps: int | None) -> float:
        """Words that earn the high end at `step`."""
        if isinstance(self.target, Schedule):
            return self.target.at(step, total_steps)[0]
        return self.target

    def at_step(self, step: int, total_steps: int | None) -> Component:
        return replace(self, target=self.target_at(step, total_steps))

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        words = think_words(reading.turn)
        if words is None:
            return low
        share = words / self.target_at(reading.step, reading.total_steps)
        if share >= 1.0:
            return high
        return low + (high - low) * (round(share, 2) if fidelity == "released" else share)

    def to_dict(self) -> dict[str, Any]:
        target = self.target.to_dict() if isinstance(self.target, Schedule) else self.target
        return {**super().to_dict(), "target": target}


@dataclass(frozen=True)
class Overlong(Component):
    """Nothing lost up to `max_length - buffer` tokens, then evenly more, and everything from `max_length` on.

    DAPO's soft overlong punishment (arXiv 2503.14476, §3.4): min(-(tokens - (max - buffer)) / buffer, 0), at least -1.
    """

    range: Range | None = (-1.0, 0.0)
    max_length: int = 0
    buffer: int = 0

    kind: ClassVar[str] = "overlong"

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        if reading.tokens is None:
            raise RewardError(
                "the length of the response in tokens is not known here",
                f"components.{self.name}",
                "training knows it; give --tokens N (reward explain) or a column `tokens` (rescore), or leave the "
                "component out",
                completion=reading.completion,
                ground_truth=reading.truth.text,
                step=reading.step,
            )
        over = (reading.tokens - (self.max_length - self.buffer)) / self.buffer
        return high + (low - high) * min(max(over, 0.0), 1.0)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "max_length": self.max_length, "buffer": self.buffer}
