"""`table`: the value of the first row whose conditions hold, as lexicographic rewards are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Component, Range, Term, own_range
from toolrl_cli.rewards.composing.conditions import holds, parse_conditions, parts_of
from toolrl_cli.rewards.errors import RewardError, shown
from toolrl_cli.rewards.reading import Reading
from toolrl_cli.rewards.schedule import as_number


@dataclass(frozen=True)
class Table(Component):
    """The value of the first row whose conditions all hold; `otherwise` where none does.

    Attributes:
        rows: (conditions, value).
        rest: the value where no row holds.
    """

    rows: tuple[tuple[tuple[str, ...], float | str], ...] = ()
    rest: float | str = 0.0

    kind: ClassVar[str] = "table"

    @property
    def refers_to(self) -> tuple[str, ...]:
        values = [value for _, value in self.rows] + [self.rest]
        named = tuple(value for value in values if isinstance(value, str))
        return super().refers_to + tuple(part for when, _ in self.rows for part in parts_of(when)) + named

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        return self._chosen(reading)[1]

    def _chosen(self, reading: Reading) -> tuple[str, float]:
        for when, value in self.rows:
            if all(holds(condition, reading) for condition in when):
                return " and ".join(when), self._value(value, reading)
        return "none of the rows", self._value(self.rest, reading)

    def _value(self, value: float | str, reading: Reading) -> float:
        return reading.shares[value] if isinstance(value, str) else value

    def reach(self, reading: Reading | None, fidelity: str, low: float, high: float) -> Range:
        if reading is None:
            return low, high
        values: list[float | str] = []
        for when, value in self.rows:
            of_row = [condition for condition in when if not parts_of([condition])]
            if all(holds(condition, reading) for condition in of_row):
                values.append(value)
                if len(of_row) == len(when):  # decided by the gold turn alone: no later row is reached
                    break
        else:
            values.append(self.rest)
        ends = [end for value in values for end in ((0.0, 1.0) if isinstance(value, str) else (value, value))]
        return min(ends), max(ends)

    def terms(self, reading: Reading, low: float, high: float, raw: float) -> tuple[Term, ...]:
        return (Term("raw", self._chosen(reading)[0], raw),)

    def to_dict(self) -> dict[str, Any]:
        rows = [{"when": list(when), "value": value} for when, value in self.rows]
        return {**super().to_dict(), "rows": rows, "rest": self.rest}


def read(name: str, raw: Mapping[str, Any], where: str, base: Path) -> Component:
    """See `ComponentKind.read`."""
    rows = raw.get("rows")
    if not isinstance(rows, (list, tuple)) or not rows:
        raise RewardError(
            f"{shown(rows)} is no list of rows", f"{where}.rows", "- {when: [exact, think], value: 1}"
        )
    read_rows = []
    for position, row in enumerate(rows):
        place = f"{where}.rows.{position}"
        if not isinstance(row, Mapping) or set(row) != {"when", "value"}:
            raise RewardError(f"{shown(row)} is no row", place, "{when: [exact, think], value: 1}")
        conditions = parse_conditions(row["when"], f"{place}.when")
        read_rows.append((conditions, _cell(row["value"], f"{place}.value")))
    rest = _cell(raw.get("rest", 0.0), f"{where}.rest")
    values = [value for _, value in read_rows] + [rest]
    numbers = [value for value in values if not isinstance(value, str)] + [0.0, 1.0] * any(
        isinstance(value, str) for value in values
    )
    span = own_range((min(numbers), max(numbers)), raw, where)
    return Table(name, range=span, rows=tuple(read_rows), rest=rest)


def _cell(raw: Any, where: str) -> float | str:
    return raw if isinstance(raw, str) else as_number(raw, where)


TABLE = ComponentKind("table", read, keys=("rows", "rest"), position=7)
