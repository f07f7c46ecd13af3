"""The component of the kinds `calls`, `exact` and `names`: how the calls compare with the gold turn's, by a rule.

`correctness` is ToolRL's rule; this is everybody else's. A share of 0 to 1 lies on the component's range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from toolrl_cli.rewards.calls.compare import (
    CREDITS,
    MEASURES,
    PAIRINGS,
    Comparison,
    given_calls,
    wanted_calls,
)
from toolrl_cli.rewards.calls.equality import parse_equality
from toolrl_cli.rewards.calls.style import ReadCalls, Style, parse_style
from toolrl_cli.rewards.components import Component, Range, Term
from toolrl_cli.rewards.errors import RewardError, one_of, shown
from toolrl_cli.rewards.reading import Reading
from toolrl_cli.rewards.schedule import as_number

NO_CALL = ("silence", "empty_list", "zero", "any")


@dataclass(frozen=True)
class CallShare(Component):
    """The share of the gold turn's calls that the turn's come to.

    Attributes:
        comparison: the rule.
        reading: the form in which calls are read.
        no_call: what earns the high end where the gold turn calls nothing: `silence` (no block, or an empty one),
            `empty_list` (a block that is readable and empty), `any` turn, or none (`zero`).
    """

    comparison: Comparison = field(default_factory=Comparison)
    reading: Style = field(default_factory=Style)
    no_call: str = "silence"

    kind: ClassVar[str] = "calls"
    compares_calls: ClassVar[bool] = True

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        share = self.share(reading)
        return high if share == 1.0 else low + (high - low) * share

    def share(self, reading: Reading) -> float:
        """From 0 (nothing) to 1, below 0 where calls without a partner cost something."""
        wanted, given = wanted_calls(reading.truth), given_calls(reading, self.reading)
        if not wanted:
            return float(earns_without_call(self.no_call, given))
        return self.comparison.compare(wanted, given.calls).share if given.calls else 0.0

    def reach(self, reading: Reading | None, fidelity: str, low: float, high: float) -> Range:
        if reading is not None and not wanted_calls(reading.truth):
            return {"any": (high, high), "zero": (low, low)}.get(self.no_call, (low, high))
        credit = self.comparison.credit
        most = sum(share for _, share in credit) if isinstance(credit, tuple) else 1.0
        least = min(0.0, self.comparison.unpaired)
        return low + (high - low) * least, low + (high - low) * most

    def terms(self, reading: Reading, low: float, high: float, raw: float) -> tuple[Term, ...]:
        wanted, given = wanted_calls(reading.truth), given_calls(reading, self.reading)
        if not wanted:
            return (Term("raw", f"the gold turn calls nothing; what earns {high:g}: {self.no_call}", raw),)
        if not given.calls:
            return (Term("raw", f"{given.problem or 'the turn calls nothing'}: {low:g}", raw),)
        found, rule = self.comparison.compare(wanted, given.calls), self.comparison
        pairs = [
            Term(
                f"call {gold + 1}",
                f"predicted call {at + 1}: {rule.told(wanted[gold], given.calls[at])}",
                credit,
            )
            for gold, at, credit in found.pairs
        ]
        alone = len(given.calls) - len(found.pairs)
        if alone and rule.unpaired:
            pairs.append(Term("without a partner", f"{alone} · {rule.unpaired:g}", alone * rule.unpaired))
        counts = f"{len(wanted)} wanted, {len(given.calls)} called"
        share = f"{found.earned:.4g} / {found.out_of:g} ({rule.measure}; {counts})"
        share += f" · {found.factor:.4g}" if found.factor != 1 else ""
        share += f", and below {rule.at_least:g} is 0" if rule.at_least else ""
        on_range = f"{low:g} + {high - low:g} · {found.share:.4g}"
        return (*pairs, Term("share", share, found.share), Term("raw", on_range, raw))

    def to_dict(self) -> dict[str, Any]:
        rest = {"reading": self.reading.to_dict(), "no_call": self.no_call}
        return {**super().to_dict(), **self.comparison.to_dict(), **rest}


def earns_without_call(no_call: str, given: ReadCalls) -> bool:
    """Whether a turn earns the high end where the gold turn calls nothing; `no_call` as in `CallShare`."""
    silent = given.calls == () or not given.called
    return {"silence": silent, "empty_list": given.calls == (), "any": True}.get(no_call, False)


KEYS = (
    *("credit", "equality", "keys", "pairing", "measure", "unpaired", "extra", "unequal", "at_least"),
    *("reading", "no_call"),
)
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "calls": {},
    "exact": {"credit": "exact", "measure": "max", "at_least": 1.0},
    "names": {"credit": "name", "measure": "max", "at_least": 1.0},
}


def read(preset: str, name: str, given: Mapping[str, Any], where: str, base: Path) -> Component:
    """See `ComponentKind.read`."""
    raw = {**PRESETS[preset], **given}
    words = {"keys": ("all", "gold"), "pairing": PAIRINGS, "measure": MEASURES, "extra": ("free", "ratio")}
    chosen: dict[str, Any] = {
        k: one_of(raw[k], known, f"{where}.{k}") for k, known in words.items() if k in raw
    }
    chosen |= {k: as_number(raw[k], f"{where}.{k}") for k in ("unpaired", "unequal", "at_least") if k in raw}
    if "credit" in raw:
        chosen["credit"] = _credits(raw["credit"], f"{where}.credit")
    chosen["equality"] = parse_equality(raw.get("equality", "value"), f"{where}.equality")
    if raw.get("keys") == "gold" and chosen.get("credit", "exact") != "exact":
        raise RewardError("keys: gold has no effect but with credit: exact", f"{where}.keys", "leave it out")
    style = parse_style(raw.get("reading", "toolrl"), f"{where}.reading")
    no_call = one_of(raw.get("no_call", "silence"), NO_CALL, f"{where}.no_call")
    return CallShare(name, comparison=Comparison(**chosen), reading=style, no_call=no_call)


def _credits(raw: Any, where: str) -> str | tuple[tuple[str, float], ...]:
    if not isinstance(raw, Mapping):
        return one_of(raw, CREDITS, where)
    keys = ("call", "name", "arguments")
    for key in raw:
        if key not in keys:
            raise RewardError(
                f"{shown(key)} is not known here", f"{where}.{key}", f"valid: {', '.join(keys)}"
            )
    return tuple((key, as_number(raw.get(key, 0.0), f"{where}.{key}")) for key in keys)
