"""Marks that compare the cells of a table: best, second, and tests against the baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from toolrl_cli.report.model import Cell, Direction, Head, Row
from toolrl_cli.report.statistics import average, holm, tied

LEVEL = 0.05
PValue = Callable[[Row, Row, Head], float | None]
"""(row, baseline row, column) → p value; None if no test is possible."""


@dataclass(frozen=True)
class Tests:
    """The tests as the caption describes them: their number and kind."""

    count: int
    baseline: str


def mark_best(rows: Sequence[Row], heads: Sequence[Head], excluded: frozenset[tuple[str, str]]) -> list[Row]:
    """Mark the best cell of each group and column, cells tied with it, and the next best.

    Args:
        excluded: (group, column) pairs whose values may not be compared.
    """
    marked = list(rows)
    for group in dict.fromkeys(row.group for row in rows):
        for head in heads:
            if head.direction == "none" or (group, head.name) in excluded:
                continue
            places = [
                i
                for i, row in enumerate(marked)
                if row.group == group and row.cells[head.name].mean is not None
            ]
            best, second = _ranked([marked[i].cells[head.name] for i in places], head.direction)
            for position, index in enumerate(places):
                if position in best or position in second:
                    marked[index] = _with(
                        marked[index], head.name, best=position in best, second=position in second
                    )
    return marked


def mark_different(
    rows: Sequence[Row],
    heads: Sequence[Head],
    baseline: Callable[[Row], bool],
    p_value: PValue,
    excluded: frozenset[tuple[str, str]],
) -> tuple[list[Row], Tests | None]:
    """Star the cells that differ from their group's baseline row, Holm-corrected over the whole table."""
    marked = list(rows)
    found: list[tuple[int, str, float]] = []
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
                p = p_value(row, base, head) if comparable and enough else None
                if p is not None:
                    found.append((index, head.name, p))
    if not found:
        return marked, None
    for (index, name, _), adjusted in zip(found, holm([p for _, _, p in found]), strict=True):
        if adjusted < LEVEL:
            marked[index] = _with(marked[index], name, star=True)
    return marked, Tests(len(found), label)


def _ranked(cells: Sequence[Cell], direction: Direction) -> tuple[set[int], set[int]]:
    """Positions of the best cell and those tied with it, and of the best of the rest (all equal ones)."""
    if len(cells) < 2:
        return set(), set()
    sign = 1 if direction == "higher" else -1

    def key(position: int) -> float:
        return sign * average(cells[position].values)

    order = sorted(range(len(cells)), key=key, reverse=True)
    if key(order[0]) == key(order[-1]):
        return set(), set()  # if all are equal, none is marked
    top = cells[order[0]].sample
    best = {i for i in order if i == order[0] or tied(cells[i].sample, top)}
    rest = [i for i in order if i not in best]
    return best, {i for i in rest if math.isclose(key(i), key(rest[0]), rel_tol=1e-12, abs_tol=1e-12)}


def _with(row: Row, column: str, **changes: Any) -> Row:
    return replace(row, cells={**row.cells, column: replace(row.cells[column], **changes)})
