"""`layout`: what a turn must look like, rule by rule, whatever it calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from toolrl_cli.rewards.calls.compare import given_calls
from toolrl_cli.rewards.calls.style import Style, parse_style
from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Component, Term
from toolrl_cli.rewards.errors import RewardError, one_of, shown
from toolrl_cli.rewards.reading import RESPONSE, RESPONSE_END, THINK, THINK_END, Reading


def _tags_in_order(turn: str, style: Style) -> bool:
    places = [turn.find(tag) for tag in (THINK, THINK_END, *style.tags)]
    return places[0] >= 0 and places == sorted(places)


def _nothing_else(turn: str, style: Style) -> bool:
    rest = turn
    for opening, closing in ((THINK, THINK_END), style.tags, (RESPONSE, RESPONSE_END)):
        while opening in rest and closing in rest.partition(opening)[2]:
            before, _, after = rest.partition(opening)
            rest = before + after.partition(closing)[2]
    return not rest.strip()


RULES: Mapping[str, Callable[[str, Style], bool]] = {
    "think": lambda turn, style: THINK in turn and THINK_END in turn,
    "think_once": lambda turn, style: turn.count(THINK) == 1 and turn.count(THINK_END) == 1,
    "think_first": lambda turn, style: turn.startswith(THINK) and THINK_END in turn,
    "think_before_call": lambda turn, style: (
        0 <= turn.find(THINK_END) < (turn.find(style.tags[0]) % (len(turn) + 1))
    ),
    "tags_in_order": _tags_in_order,
    "one_block": lambda turn, style: turn.count(style.tags[0]) == 1 and turn.count(style.tags[1]) == 1,
    "no_response": lambda turn, style: RESPONSE not in turn,
    "nothing_else": _nothing_else,
}
OF_CALLS = ("called", "readable", "one_call")


@dataclass(frozen=True)
class Layout(Component):
    """High end of the range if the turn keeps all of the rules, else the low end.

    Attributes:
        rules: `think` (both tags occur), `think_once` (each once), `think_first` (at the very beginning, and closed),
            `think_before_call` (closed before a call begins), `tags_in_order` (the first of each think and call tag),
            `one_block`, `no_response` (no such tag), `nothing_else` (only white space beside thought, calls and
            response), `called` (there is a block), `readable` (and its calls are JSON), `one_call`.
        reading: the form in which calls are read.
    """

    rules: tuple[str, ...] = ()
    reading: Style = field(default_factory=Style)

    kind: ClassVar[str] = "layout"

    @property
    def judges(self) -> bool:
        return False  # a gold text has no model's habits, and may have no thought

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        return high if all(kept for _, kept in self._kept(reading)) else low

    def _kept(self, reading: Reading) -> list[tuple[str, bool]]:
        given = given_calls(reading, self.reading)
        calls = {
            "called": given.called,
            "readable": given.readable,
            "one_call": len(given.calls or ()) == 1,
        }
        return [(r, calls[r] if r in calls else RULES[r](reading.turn, self.reading)) for r in self.rules]

    def terms(self, reading: Reading, low: float, high: float, raw: float) -> tuple[Term, ...]:
        kept = [Term(rule, "yes" if true else "no", float(true)) for rule, true in self._kept(reading)]
        return (*kept, Term("raw", f"{high:g} if all are kept, else {low:g}", raw))

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "rules": list(self.rules), "reading": self.reading.to_dict()}


def read(name: str, raw: Mapping[str, Any], where: str, base: Path) -> Component:
    """See `ComponentKind.read`."""
    rules = raw.get("rules", [])
    rules = [rules] if isinstance(rules, str) else rules
    if not isinstance(rules, (list, tuple)) or not rules:
        raise RewardError(
            f"{shown(rules)} is no list of rules", f"{where}.rules", f"some of {', '.join(_known())}"
        )
    chosen = tuple(one_of(rule, _known(), f"{where}.rules") for rule in rules)
    return Layout(name, rules=chosen, reading=parse_style(raw.get("reading", "toolrl"), f"{where}.reading"))


def _known() -> tuple[str, ...]:
    return (*RULES, *OF_CALLS)


LAYOUT = ComponentKind("layout", read, keys=("rules", "reading"), position=6)
