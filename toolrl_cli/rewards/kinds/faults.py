"""`faults`: a penalty for every fault of one sort in the calls, such as a tool that was not offered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from toolrl_cli.rewards.calls.compare import given_calls, offered_tools, wanted_calls
from toolrl_cli.rewards.calls.style import Style, parse_style
from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Component, Range, Term
from toolrl_cli.rewards.errors import RewardError, one_of, shown
from toolrl_cli.rewards.reading import Reading

OF_GOLD = ("extra_calls", "missing_calls")
OF_TOOLS = ("unknown_tools", "unknown_parameters", "missing_parameters")
SORTS = (*OF_GOLD, *OF_TOOLS, "repeated_calls")


@dataclass(frozen=True)
class Faults(Component):
    """From the high end (none) down to the low end (`most` or more); calls that cannot be read have none.

    Attributes:
        of: what is counted. `extra_calls`, `missing_calls`: more or fewer than the gold turn has. `repeated_calls`:
            equal to one before. `unknown_tools`, `unknown_parameters`, `missing_parameters` (required ones): by the
            tools that the row offers in `extra_info.tools`.
        most: how many cost all of the range.
        reading: the form in which calls are read.
    """

    range: Range | None = (-1.0, 0.0)
    of: str = "extra_calls"
    most: int = 1
    reading: Style = field(default_factory=Style)

    kind: ClassVar[str] = "faults"
    compares_calls: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[str]:
        return super().needs | ({"tools"} if self.of in OF_TOOLS else set())

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        return high + (low - high) * min(self.count(reading), self.most) / self.most

    def count(self, reading: Reading) -> int:
        """How many there are."""
        calls = given_calls(reading, self.reading).calls or ()
        if self.of in OF_GOLD:
            more = len(calls) - len(wanted_calls(reading.truth))
            return max(more if self.of == "extra_calls" else -more, 0)
        if self.of == "repeated_calls":
            return len(calls) - len(Counter(repr(call) for call in calls))
        tools = offered_tools(reading, f"components.{self.name}")
        if self.of == "unknown_tools":
            return sum(call.name not in tools for call in calls)
        known = [(call.arguments.keys(), tools[call.name]) for call in calls if call.name in tools]
        if self.of == "unknown_parameters":
            return sum(len(given - set(schema.get("properties") or ())) for given, schema in known)
        return sum(len(set(schema.get("required") or ()) - given) for given, schema in known)

    def terms(self, reading: Reading, low: float, high: float, raw: float) -> tuple[Term, ...]:
        rule = f"{high:g} without, {low:g} from {self.most} on"
        return (Term(self.of.replace("_", " "), "", float(self.count(reading))), Term("raw", rule, raw))

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "of": self.of, "most": self.most, "reading": self.reading.to_dict()}


def read(name: str, raw: Mapping[str, Any], where: str, base: Path) -> Component:
    """See `ComponentKind.read`."""
    most = raw.get("most", 1)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise RewardError(f"{shown(most)} is no number of faults", f"{where}.most", "1 or more")
    style = parse_style(raw.get("reading", "toolrl"), f"{where}.reading")
    if "of" not in raw:
        raise RewardError("faults says which it counts", f"{where}.of", f"one of {', '.join(SORTS)}")
    return Faults(name, of=one_of(raw["of"], SORTS, f"{where}.of"), most=most, reading=style)


FAULTS = ComponentKind("faults", read, keys=("of", "most", "reading"), position=6)
