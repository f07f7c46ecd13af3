"""Paired tests of two arms on the verdicts of their common items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from toolrl_cli.report.model import Cell, Head, Row, Source
from toolrl_cli.report.statistics import Comparison, mcnemar, paired_bootstrap
from toolrl_cli.report.table_spec import ColumnSpec, TableSpec
from toolrl_cli.store.jsonl import read_jsonl

Verdicts = Mapping[str, Sequence[bool]]
"""Item id → its verdicts, one for each evaluation."""

Items = tuple[tuple[str, str, bool], ...]
"""(id, category, correct) of every item with a verdict."""


@dataclass(frozen=True)
class Paired:
    """Two arms on their common items.

    Attributes:
        bootstrap: difference in the share of correct items and its interval, clustered by item; None without items.
        only_a, only_b: number of items that only one arm answers correctly (by majority of its evaluations).
        mcnemar_p: exact p of those two counts.
    """

    bootstrap: Comparison | None
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    mcnemar_p: float


def compare_items(a: Verdicts, b: Verdicts) -> Paired:
    """Paired tests of two arms; items that only one of them has are left out."""
    common = sorted(a.keys() & b.keys())
    majority_a = {i for i in common if 2 * sum(a[i]) > len(a[i])}
    majority_b = {i for i in common if 2 * sum(b[i]) > len(b[i])}
    only_a = tuple(i for i in common if i in majority_a and i not in majority_b)
    only_b = tuple(i for i in common if i in majority_b and i not in majority_a)
    return Paired(paired_bootstrap(a, b), only_a, only_b, mcnemar(len(only_a), len(only_b)))


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
    for source in sources:
        if source.items and source.value is not None:
            for item, category, correct in (read or read_items)(results / source.items):
                if categories is None or category in categories:
                    verdicts.setdefault(item, []).append(correct)
    return verdicts


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
    kept = categories_of(column)
    a, b = (read_verdicts(results, cell.sources, kept, read) for cell in cells)
    return (a, b) if a.keys() & b.keys() else None


def items_p_value(results: Path, spec: TableSpec) -> Callable[[Row, Row, Head], float | None]:
    """A p value for `marks.mark_different` from the paired bootstrap; None if there are no common verdicts."""
    columns = {c.name: c for c in spec.columns}
    read = lru_cache(maxsize=64)(read_items)

    def p_value(row: Row, baseline: Row, head: Head) -> float | None:
        cells = row.cells[head.name], baseline.cells[head.name]
        both = common_verdicts(results, columns[head.name], cells, read)
        found = None if both is None else paired_bootstrap(*both)
        return None if found is None else found.p

    return p_value


def categories_of(column: ColumnSpec) -> frozenset[str] | None:
    """Item categories of a column: the declared ones, all for an overall metric, else the one with its name."""
    metric = column.metric or column.name
    if column.categories is not None:
        return frozenset(column.categories)
    return None if metric in ("overall", "accuracy") else frozenset([metric])


def read_items(path: Path) -> Items:
    """All items with a verdict in one items.jsonl."""
    return tuple(
        (str(row["id"]), str(row.get("category", "")), row["correct"])
        for row in read_jsonl(path)
        if "id" in row and isinstance(row.get("correct"), bool)
    )
