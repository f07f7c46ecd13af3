"""Marks that compare the cells of a table: the highest and next mean, and tests against the baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from toolrl_cli.report.model import Cell, Direction, Head, Row, Tested
from toolrl_cli.report.statistics.basics import Comparison, holm

Test = Callable[[Row, Row, Head], Comparison | None]
"""(row, baseline row, column) → row - baseline; None if no test is possible."""


@dataclass(frozen=True)
class Tests:
    """The tests as the caption describes them: against which row, how many in each family, and of which sorts."""

    baseline: str
    families: Mapping[str, int]
    sorts: tuple[str, ...]


def mark_best(rows: Sequence[Row], heads: Sequence[Head], excluded: frozenset[tuple[str, str]]) -> list[Row]:
    """Mark the highest mean of each group and column, and the next.

    The mark is the order of the printed means and no test, so that a wide spread earns nothing. Only rows with enough
    seeds and without missing ones take part, so that a lost seed earns nothing either.

    Args:
        excluded: (group, column) pairs whose values may not be compared.
    """
    marked = list(rows)
    for group in dict.fromkeys(row.group for row in rows):
        for head in heads:
            if head.direction == "none" or (group, head.name) in excluded:
                continue
            places = [
                i for i, row in enumerate(marked) if row.group == group and takes_part(row.cells[head.name])
            ]
            best, second = _ranked([marked[i].cells[head.name].mean or 0.0 for i in places], head.direction)
            for position, index in enumerate(places):
                if position in best or position in second:
                    marked[index] = _with(
                        marked[index], head.name, best=position in best, second=position in second
                    )
    return marked


def takes_part(cell: Cell) -> bool:
    """Whether a cell can be best: it has a mean of enough seeds, and none of its planned ones is missing."""
    return cell.mean is not None and cell.sample.enough and cell.n == cell.planned


def mark_different(
    rows: Sequence[Row],
    heads: Sequence[Head],
    baseline: Callable[[Row], bool],
    test: Test,
    excluded: frozenset[tuple[str, str]],
    primary: str | None,
) -> tuple[list[Row], Tests | None]:
    """Test every cell against its group's baseline row, with Holm's correction in each family.

    The primary column of all rows and groups is one family, and all other columns another: a question that was asked
    before the results were seen is not weakened by those that are looked at besides.
    """
    marked = list(rows)
    found: list[tuple[int, str, str, Comparison]] = []
    label = ""
    for group in dict.fromkeys(row.group for row in rows):
        base = next((row for row in marked if row.group == group and baseline(row)), None)
        if base is None:
            continue
        label = base.label
        for index, row in enumerate(marked):
            if row.group != group or row is base:
                continue
            for head in heads:
                comparable = head.direction != "none" and (group, head.name) not in excluded
                enough = row.cells[head.name].sample.enough and base.cells[head.name].sample.enough
                comparison = test(row, base, head) if comparable and enough else None
                if comparison is not None:
                    found.append((index, head.name, family_of(head, primary), comparison))
    if not found:
        return marked, None
    families = Counter(family for _, _, family, _ in found)
    for family in families:
        members = [(index, name, c) for index, name, f, c in found if f == family]
        adjusted = holm([c.p for _, _, c in members])
        for (index, name, comparison), p in zip(members, adjusted, strict=True):
            marked[index] = _with(marked[index], name, tested=Tested(comparison, p, family))
    sorts = tuple(dict.fromkeys(c.test for *_, c in found))
    return marked, Tests(label, dict(families), sorts)


def family_of(head: Head, primary: str | None) -> str:
    """The family of tests that a column belongs to."""
    if primary is None:
        return "table"
    return "primary" if head.name == primary else "other"


def _ranked(means: Sequence[float], direction: Direction) -> tuple[set[int], set[int]]:
    """Positions of the best printed mean and of the next; none where all are equal."""
    distinct = sorted(set(means), reverse=direction == "higher")
    if len(distinct) < 2:
        return set(), set()
    best, second = ({i for i, mean in enumerate(means) if mean == wanted} for wanted in distinct[:2])
    return best, second


def _with(row: Row, column: str, **changes: Any) -> Row:
    return replace(row, cells={**row.cells, column: replace(row.cells[column], **changes)})
