"""`ast_match`: whether the calls pass BFCL's check against the tools that are offered and their accepted values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from toolrl_cli.rewards.calls.ast_match import LEFT_OUT, Accepted, accepted_only, fault_of
from toolrl_cli.rewards.calls.call_share import NO_CALL, earns_without_call
from toolrl_cli.rewards.calls.compare import given_calls, offered_tools, wanted_calls
from toolrl_cli.rewards.calls.style import Call, Style, parse_style
from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Component, Range, Term
from toolrl_cli.rewards.errors import RewardError, one_of
from toolrl_cli.rewards.reading import Reading

FORM = "extra_info.accepted is a JSON list of {tool: {parameter: [accepted values]}}, one for each gold call"


@dataclass(frozen=True)
class AstMatch(Component):
    """High end of the range if there are as many calls as wanted and each wanted one is passed by one of them.

    Wanted calls take the first call that passes, in their order. What a parameter may have are its values in the row's
    `extra_info.accepted`; in a row without these the gold turn's alone.

    Attributes:
        reading: the form in which calls are read.
        no_call: what earns the high end where the gold turn calls nothing, as in `calls`.
    """

    reading: Style = field(default_factory=Style)
    no_call: str = "silence"

    kind: ClassVar[str] = "ast_match"
    compares_calls: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[str]:
        return super().needs | {"tools"}

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        wanted, given = wanted_calls(reading.truth), given_calls(reading, self.reading)
        if not wanted:
            return high if earns_without_call(self.no_call, given) else low
        passed = len(given.calls or ()) == len(wanted) and not any(
            self._faults(reading, wanted, given.calls or ())
        )
        return high if passed else low

    def _faults(self, reading: Reading, wanted: tuple[Call, ...], calls: tuple[Call, ...]) -> list[str]:
        """Of each wanted call, why the first call that is left does not pass; empty where one passes."""
        tools = offered_tools(reading, f"components.{self.name}")
        left, found = list(calls), []
        for gold, accepted in zip(wanted, _accepted(reading, wanted), strict=True):
            if gold.name not in tools:
                raise RewardError(
                    f"the gold turn calls {gold.name!r}, which the row does not offer",
                    f"components.{self.name}",
                    "correct the row or leave it out",
                    ground_truth=reading.truth.text,
                )
            faults = [fault_of(gold.name, accepted, tools[gold.name], call) for call in left]
            if "" in faults:
                left.pop(faults.index(""))
            found.append("" if "" in faults else faults[0] if faults else "no call is left")
        return found

    def reach(self, reading: Reading | None, fidelity: str, low: float, high: float) -> Range:
        if reading is not None and not wanted_calls(reading.truth):
            return {"any": (high, high), "zero": (low, low)}.get(self.no_call, (low, high))
        return low, high

    def terms(self, reading: Reading, low: float, high: float, raw: float) -> tuple[Term, ...]:
        wanted, given = wanted_calls(reading.truth), given_calls(reading, self.reading)
        if not wanted:
            return (Term("raw", f"the gold turn calls nothing; what earns {high:g}: {self.no_call}", raw),)
        if given.calls is None:
            return (Term("raw", f"{given.problem}: {low:g}", raw),)
        told = [
            Term(f"call {n}", why or "a call passes", float(not why))
            for n, why in enumerate(self._faults(reading, wanted, given.calls), start=1)
        ]
        counts = f"{len(wanted)} wanted, {len(given.calls)} called"
        return (*told, Term("raw", f"{high:g} if as many pass as are called ({counts}), else {low:g}", raw))

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "reading": self.reading.to_dict(), "no_call": self.no_call}


def _accepted(reading: Reading, wanted: tuple[Call, ...]) -> list[Mapping[str, Accepted]]:
    """Parameter → what it may have, of each gold call.

    Raises:
        RewardError: the row's accepted values are not in BFCL's form, or of other calls.
    """
    found: list[Mapping[str, Accepted]] | None = reading.memo.get("accepted")
    if found is None:
        extra = reading.row.get("extra_info")
        given = extra.get("accepted") if isinstance(extra, Mapping) else None
        if given is None:
            found = [{key: accepted_only(value) for key, value in call.arguments.items()} for call in wanted]
        else:
            found = _read_accepted(given, reading, wanted)
        reading.memo["accepted"] = found
    return found


def _read_accepted(given: Any, reading: Reading, wanted: tuple[Call, ...]) -> list[Mapping[str, Accepted]]:
    try:
        listed = json.loads(given) if isinstance(given, str) else given
        return [
            {
                key: Accepted(list(values), LEFT_OUT in values)
                for key, values in _lists(each[call.name]).items()
            }
            for each, call in zip(listed, wanted, strict=True)
        ]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RewardError(
            "the row's accepted values are not those of its gold calls",
            "extra_info.accepted",
            FORM,
            ground_truth=reading.truth.text,
        ) from None


def _lists(raw: Any) -> Mapping[str, list[Any]]:
    if not isinstance(raw, Mapping) or not all(isinstance(values, list) for values in raw.values()):
        raise TypeError(raw)
    return raw


def read(name: str, raw: Mapping[str, Any], where: str, base: Path) -> Component:
    """See `ComponentKind.read`."""
    style = parse_style(raw.get("reading", "toolrl"), f"{where}.reading")
    no_call = one_of(raw.get("no_call", "silence"), NO_CALL, f"{where}.no_call")
    return AstMatch(name, reading=style, no_call=no_call)


AST_MATCH = ComponentKind("ast_match", read, keys=("reading", "no_call"), position=5)
