"""The built-in components of a reward, each a frozen dataclass that scores a reading.

A component has a `raw` value on its own range; the reward multiplies it by the component's weight at that
step. A change of scale that multiplies the range by a factor is written as a schedule of the weight, so that raw
values stay comparable over the run. Any other change of the range has a schedule of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from toolrl_cli.rewards.composing.conditions import parts_of
from toolrl_cli.rewards.errors import RewardError
from toolrl_cli.rewards.matching import correct_share
from toolrl_cli.rewards.reading import Reading, fields_in_order, format_holds, think_words
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
        weight: a factor, or a schedule of factors; with 0 it is a metric, and no part of the total.
        only_if: conditions under which it counts (see `holds`); where one does not hold, it has its low end.
        otherwise: the raw value that it has then instead of its low end.
        sources: the rows' `data_source`s that it is for; for other rows it counts nothing. Empty: all.
    """

    name: str
    range: Range | None = (0.0, 1.0)
    range_schedule: Schedule | None = None
    weight: float | Schedule = 1.0
    only_if: tuple[str, ...] = ()
    otherwise: float | None = None
    sources: tuple[str, ...] = ()

    kind: ClassVar[str]
    compares_calls: ClassVar[bool] = False
    """Whether it holds calls against those of the gold turn."""

    @property
    def needs(self) -> frozenset[str]:
        """What it cannot be computed without, beside the two texts: `tokens`, `tools`, `data_source`."""
        return frozenset({"data_source"} if self.sources else ())

    @property
    def refers_to(self) -> tuple[str, ...]:
        """Names of the parts that have to be computed before it."""
        return parts_of(self.only_if)

    @property
    def judges(self) -> bool:
        """Whether a gold answer must earn its highest value; not so for lengths."""
        return True

    @property
    def takes_groups(self) -> bool:
        """Whether its value may depend on the other responses to the prompt."""
        return False

    def look_at_group(self, readings: Sequence[Reading]) -> None:
        """Make its `raw` of each of these responses to one prompt known, where it `takes_groups`."""
        raise NotImplementedError(f"{self.kind} takes no groups")

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
        out |= {"only_if": list(self.only_if)} if self.only_if else {}
        out |= {} if self.otherwise is None else {"otherwise": self.otherwise}
        return out | ({"sources": list(self.sources)} if self.sources else {})

    def terms(self, reading: Reading, low: float, high: float, raw: float) -> tuple[Term, ...]:
        """How the raw value comes about, for people; the last term is the raw value."""
        return (Term("raw", "", raw),)


@dataclass(frozen=True)
class Term:
    """One line of a part's arithmetic; `formula` contains this completion's numbers."""

    name: str
    formula: str
    value: float


@dataclass(frozen=True)
class Format(Component):
    """High end of the range if the turn has the ground truth's fields in order, else the low end.

    Attributes:
        between: what may stand between the fields: `exact` (what the released scorer asks for), `white_space` (any, or
            none), or `text` (anything, but no field that the ground truth lacks).
    """

    between: str = "exact"

    kind: ClassVar[str] = "format"

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        return high if self.holds(reading) else low

    def holds(self, reading: Reading) -> bool:
        """Whether the turn has the fields."""
        truth = reading.truth
        if self.between == "exact":
            return format_holds(reading.turn, truth.wants_call, truth.wants_response)
        return fields_in_order(reading.turn, truth.wants_call, truth.wants_response, self.between == "text")

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), **({} if self.between == "exact" else {"between": self.between})}


@dataclass(frozen=True)
class Correctness(Component):
    """How well the predicted calls match the ground truth's, from low (nothing) to high (everything).

    Where the ground truth has no call, `released` gives 0 whatever was predicted, and `paper` applies its
    formula to the empty set: high if nothing is called, else low.
    """

    range: Range | None = (-3.0, 3.0)
    granularity: str = "original"

    kind: ClassVar[str] = "correctness"
    compares_calls: ClassVar[bool] = True

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

    @property
    def judges(self) -> bool:
        return False

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

    Attributes:
        clip: False: what is lost goes on growing beyond `max_length`, as in ms-swift and NeMo-RL.
    """

    range: Range | None = (-1.0, 0.0)
    max_length: int = 0
    buffer: int = 0
    clip: bool = True

    kind: ClassVar[str] = "overlong"

    @property
    def needs(self) -> frozenset[str]:
        return super().needs | {"tokens"}

    @property
    def judges(self) -> bool:
        return False

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        over = max(tokens_of(reading, self.name) - (self.max_length - self.buffer), 0) / self.buffer
        return high + (low - high) * (min(over, 1.0) if self.clip else over)

    def reach(self, reading: Reading | None, fidelity: str, low: float, high: float) -> Range:
        return (low, high) if self.clip else (float("-inf"), high)

    def to_dict(self) -> dict[str, Any]:
        lengths = {"max_length": self.max_length, "buffer": self.buffer}
        return {**super().to_dict(), **lengths, **({} if self.clip else {"clip": False})}


def own_range(span: Range, raw: Mapping[str, Any], where: str) -> Range:
    """The range of a component whose values are written down themselves; it takes no other and no schedule of it.

    Raises:
        RewardError: it is given one.
    """
    given = raw.get("range")
    if raw.get("schedule") is not None or (given is not None and tuple(given) != span):
        key = "schedule" if raw.get("schedule") is not None else "range"
        raise RewardError(
            "its values are written down as they are", f"{where}.{key}", "change them, or the weight"
        )
    return span


def tokens_of(reading: Reading, part: str) -> int:
    """Length of the response in tokens.

    Raises:
        RewardError: it is not known.
    """
    if reading.tokens is None:
        raise RewardError(
            "the length of the response in tokens is not known here",
            f"components.{part}",
            "training knows it; give --tokens N (reward explain) or a column `tokens` (rescore), or leave the "
            "component out",
            completion=reading.completion,
            ground_truth=reading.truth.text,
            step=reading.step,
        )
    return reading.tokens
