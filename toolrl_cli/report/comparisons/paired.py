"""Paired tests of two arms on the verdicts of their common items."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from toolrl_cli.report.model import Cell, Head, Row, Source
from toolrl_cli.report.statistics.basics import Comparison
from toolrl_cli.report.statistics.items import compare_over_items, item_differences, mcnemar
from toolrl_cli.report.table_spec import ColumnSpec, TableSpec
from toolrl_cli.store.jsonl import read_jsonl
from toolrl_cli.store.scores import categories_behind

Verdicts = Mapping[str, Sequence[bool]]
"""Item id → its verdicts, one for each evaluation."""

Items = tuple[tuple[str, str, bool], ...]
"""(id, category, correct) of every item with a verdict."""


@dataclass(frozen=True)
class Paired:
    """Two arms on their common items.

    Attributes:
        difference: in the share of right verdicts, with its interval and exact p, clustered by item; None with fewer
            than two items.
        only_a, only_b: the items that one arm gets right more often than the other; where each has one verdict, those
            that it alone gets right.
        mcnemar_p: exact p of those two counts. Items that both get right equally often are in neither.
    """

    difference: Comparison | None
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    mcnemar_p: float


def compare_items(a: Verdicts, b: Verdicts) -> Paired:
    """Paired tests of two arms; items that only one of them has are left out."""
    differences = item_differences(a, b)
    only_a = tuple(i for i, d in differences.items() if d > 0)
    only_b = tuple(i for i, d in differences.items() if d < 0)
    found = compare_over_items(list(differences.values()))
    return Paired(found, only_a, only_b, mcnemar(len(only_a), len(only_b)))


def read_verdicts(
    results: Path,
    sources: Iterable[Source],
    categories: frozenset[str] | None,
    read: Callable[[Path], Items] | None = None,
) -> Verdicts:
    """The verdicts of a cell's evaluations by item; an item without a verdict is left out.

    Args:
        categories: item categories to keep; None for all.
        read: reads one items.jsonl; callers pass a cached one to read a file once for several columns.
    """
    verdicts: dict[str, list[bool]] = {}
    for item, category, correct in _items(results, sources, read or read_items):
        if categories is None or category in categories:
            verdicts.setdefault(item, []).append(correct)
    return verdicts


def _items(
    results: Path, sources: Iterable[Source], read: Callable[[Path], Items]
) -> Iterator[tuple[str, str, bool]]:
    for source in sources:
        if source.items and source.value is not None:
            yield from read(results / source.items)


def common_verdicts(
    results: Path, column: ColumnSpec, cells: tuple[Cell, Cell], read: Callable[[Path], Items]
) -> tuple[Verdicts, Verdicts] | None:
    """The verdicts behind a column for two cells.

    Returns:
        None if they share no items or the metric is not a count of items: a mean of means (BFCL's Overall) differs
        from the share of all items, and a test of one does not test the other.
    """
    if any(cell.sampling is None for cell in cells):
        return None
    known = {category for cell in cells for _, category, _ in _items(results, cell.sources, read)}
    kept = categories_of(column, known)
    a, b = (read_verdicts(results, cell.sources, kept, read) for cell in cells)
    return (a, b) if a.keys() & b.keys() else None


def test_of_items(results: Path, spec: TableSpec) -> Callable[[Row, Row, Head], Comparison | None]:
    """The test over items for `marks.mark_different`, in points; None if there are no common verdicts."""
    columns = {c.name: c for c in spec.columns}
    read = lru_cache(maxsize=64)(read_items)

    def test(row: Row, baseline: Row, head: Head) -> Comparison | None:
        cells = row.cells[head.name], baseline.cells[head.name]
        both = common_verdicts(results, columns[head.name], cells, read)
        found = None if both is None else compare_over_items(list(item_differences(*both).values()))
        return None if found is None else in_points(found)

    return test


def in_points(found: Comparison) -> Comparison:
    """A comparison of shares in percentage points."""
    return replace(found, difference=100 * found.difference, low=100 * found.low, high=100 * found.high)


def categories_of(column: ColumnSpec, known: Collection[str]) -> frozenset[str]:
    """Item categories of a column: the declared ones, or those of its metric among the known ones."""
    if column.categories is not None:
        return frozenset(column.categories)
    return categories_behind(column.metric or column.name, known)


def read_items(path: Path) -> Items:
    """All items with a verdict in one items.jsonl."""
    return tuple(
        (str(row["id"]), str(row.get("category", "")), row["correct"])
        for row in read_jsonl(path)
        if "id" in row and isinstance(row.get("correct"), bool)
    )
