"""Compares two arms of a table over seeds and on their common items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from toolrl_cli.errors import SpecError
from toolrl_cli.report.arms import Arm, setting_text, varying_settings
from toolrl_cli.report.comparability import not_comparable
from toolrl_cli.report.comparisons.paired import Paired, common_verdicts, compare_items, read_items
from toolrl_cli.report.marks import family_of
from toolrl_cli.report.model import Head, Row, Table
from toolrl_cli.report.statistics.basics import Comparison, holm
from toolrl_cli.report.statistics.seeds import compare
from toolrl_cli.report.table_spec import TableSpec
from toolrl_cli.spec.suggest import hint_for

ALL = "*"
"""Stands for all rows but the other."""

NAMES = ("name", "arm", "source_arm", "label", "aliases")
"""Attributes of a row by which it is named."""


@dataclass(frozen=True)
class PairColumn:
    """A minus B in one column, in points (or the column's unit), rounded like the column.

    Attributes:
        a, b: the two means; None if missing.
        seeds: the test over seeds (which one, it says); None with fewer than three on a side, or if none is possible.
        items: paired tests on common items; None if items.jsonl is missing or the column is not a count of items.
        adjusted, seeds_adjusted: p over items, and over seeds, after Holm's correction over the columns of this table
            (where all rows are compared with one: over the rows of the primary column, and over all others).
        why: why the two may not be compared; empty if they may.
    """

    head: Head
    a: float | None
    b: float | None
    seeds: Comparison | None = None
    items: Paired | None = None
    adjusted: float | None = None
    seeds_adjusted: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Pair:
    """Two rows of one table; `settings` has (key, A's value, B's value) where their configurations differ."""

    table: str
    title: str
    a: str
    b: str
    columns: tuple[PairColumn, ...]
    settings: tuple[tuple[str, ...], ...]


def compare_rows(
    specs: Sequence[TableSpec], tables: Sequence[Table], arms: Iterable[Arm], results: Path, a: str, b: str
) -> list[Pair]:
    """Compare the two rows in every table that has both.

    Args:
        specs, tables: declarations and the computed tables, in the same order.
        a, b: names of rows: a row's or its label, an arm's, or `GROUP / LABEL`; case does not matter. Where one is `*`,
            all rows are compared with the other, in its group, or in every group that has a row of this name.

    Raises:
        SpecError: no table has both, or a name matches several rows of a table.
    """
    by_name = {arm.name: arm for arm in arms}
    if ALL in (a, b):
        return _against_all(specs, tables, by_name, results, b if a == ALL else a)
    found = []
    for spec, table in zip(specs, tables, strict=True):
        rows = [_row(table, name) for name in (a, b)]
        if rows[0] is not None and rows[1] is not None:
            found += _corrected(
                [_pair(spec, table, rows[0], rows[1], by_name, results)], lambda head: "table"
            )
    if not found:
        names = list(dict.fromkeys(row.arm for table in tables for row in table.rows))
        missing = next((n for n in (a, b) if not any(_row(t, n) for t in tables)), None)
        if missing is None:
            raise SpecError(f"no table has both {a!r} and {b!r}", "--pair", "name a --table that does")
        raise SpecError(f"no row {missing!r}", "--pair", hint_for(missing, names, "rows"))
    return found


def _against_all(
    specs: Sequence[TableSpec], tables: Sequence[Table], arms: dict[str, Arm], results: Path, name: str
) -> list[Pair]:
    """All rows with a value against the row of this name, corrected over all of them as the table's tests are."""
    found = []
    for spec, table in zip(specs, tables, strict=True):
        bases = {group: _row(table, name, group) for group in table.groups}
        pairs = [
            _pair(spec, table, row, base, arms, results)
            for row in table.rows
            if (base := bases.get(row.group)) is not None
            and row is not base
            and any(cell.mean is not None for cell in row.cells.values())
        ]
        found += _corrected(pairs, partial(family_of, primary=spec.primary))
    if not found:
        names = list(dict.fromkeys(row.label for table in tables for row in table.rows))
        raise SpecError(f"no row {name!r} with others beside it", "--pair", hint_for(name, names, "rows"))
    return found


def _corrected(pairs: Sequence[Pair], family: Callable[[Head], str]) -> list[Pair]:
    """The pairs with p over seeds and p over items after Holm's correction, over all of them in each family."""
    adjusted: dict[tuple[str, int, str], float] = {}
    for kind in ("seeds", "items"):
        families: dict[str, list[tuple[int, str, float]]] = {}
        for place, pair in enumerate(pairs):
            for c in pair.columns:
                found = c.seeds if kind == "seeds" else c.items.difference if c.items is not None else None
                if found is not None:
                    families.setdefault(family(c.head), []).append((place, c.head.name, found.p))
        for members in families.values():
            corrected = holm([raw for *_, raw in members])
            adjusted |= {
                (kind, place, name): p for (place, name, _), p in zip(members, corrected, strict=True)
            }
    return [
        replace(
            pair,
            columns=tuple(
                replace(
                    c,
                    adjusted=adjusted.get(("items", place, c.head.name)),
                    seeds_adjusted=adjusted.get(("seeds", place, c.head.name)),
                )
                for c in pair.columns
            ),
        )
        for place, pair in enumerate(pairs)
    ]


def _row(table: Table, name: str, group: str | None = None) -> Row | None:
    """The row of this name, by the first of `NAMES` that has it; of one group, or of all."""
    within = [row for row in table.rows if group in (None, row.group)]
    for attribute in NAMES:
        fits = [row for row in within if name.lower() in _names(row, attribute)]
        if len(fits) > 1:
            told = ", ".join(repr(row.arm) for row in fits[:4])
            raise SpecError(
                f"{name!r} fits {len(fits)} rows of table {table.name}", "--pair", f"one of {told}"
            )
        if fits:
            return fits[0]
    return None


def _names(row: Row, attribute: str) -> list[str]:
    found = getattr(row, attribute)
    return [name.lower() for name in (found if isinstance(found, tuple) else (found,))]


def _pair(spec: TableSpec, table: Table, a: Row, b: Row, arms: dict[str, Arm], results: Path) -> Pair:
    read = lru_cache(maxsize=64)(read_items)
    columns = []
    for column, head in zip(spec.columns, table.columns, strict=True):
        cells = a.cells[head.name], b.cells[head.name]
        made = PairColumn(head, cells[0].mean, cells[1].mean)
        apart = not_comparable(*cells)
        if apart:
            made = replace(made, why=apart)
        elif cells[0].mean is not None and cells[1].mean is not None:
            both = common_verdicts(results, column, cells, read)
            items = None if both is None else compare_items(*both)
            seeds = compare(cells[0].sample, cells[1].sample, spec.paired_from)
            made = replace(made, seeds=None if seeds is None else seeds.within(head.limit), items=items)
        columns.append(made)
    pair = [arms[row.source_arm] for row in (a, b) if row.source_arm in arms]
    keys = varying_settings(pair) if len(pair) > 1 else []
    told = [(key, *(setting_text(arm.lookup(key)) for arm in pair)) for key in keys]
    # a training setting of only one arm may be an evaluation setting of the other, such as the model
    settings = tuple(line for line in told if line[1] != line[2])
    return Pair(table.name, table.title, a.arm, b.arm, tuple(columns), settings)
