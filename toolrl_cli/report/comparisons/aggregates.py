"""Each row of the tables over all models and benchmarks together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolrl_cli.report.comparability import scored_apart
from toolrl_cli.report.model import Cell, Head, Table
from toolrl_cli.report.statistics.aggregate import (
    Estimate,
    improvement,
    interquartile_mean,
    mean_over_tasks,
    profile,
)
from toolrl_cli.report.table_spec import TableSpec

POINTS = 21
"""Thresholds of a performance profile, from the lowest value to the highest."""


@dataclass(frozen=True)
class Task:
    """One model on one benchmark: a group of rows in the primary column of a table."""

    table: str
    group: str
    column: str

    @property
    def name(self) -> str:
        return f"{self.group} on {self.table}/{self.column}" if self.group else f"{self.table}/{self.column}"


@dataclass(frozen=True)
class AggregateRow:
    """A row over all tasks.

    Attributes:
        runs: number of values.
        mean, iqm: in percent.
        improvement: the chance that one of its runs is better than one of the baseline row's; None for that row, or
            without one.
        profile: the share of runs above each threshold.
    """

    label: str
    runs: int
    mean: Estimate
    iqm: Estimate
    improvement: Estimate | None
    profile: tuple[Estimate, ...]


@dataclass(frozen=True)
class Aggregate:
    """The rows that some tables have in common, over the tasks of these tables.

    Attributes:
        baseline: label of the row that the others are compared with; empty without one.
        left_out: tasks and rows that are not in it, each with the reason.
    """

    tables: tuple[str, ...]
    tasks: tuple[Task, ...]
    baseline: str
    thresholds: tuple[float, ...]
    rows: tuple[AggregateRow, ...]
    left_out: tuple[str, ...]


def aggregate(specs: Sequence[TableSpec], tables: Sequence[Table]) -> list[Aggregate]:
    """Tables with the same rows and baseline, together; each by its primary column, where that is a share to raise.

    Args:
        specs, tables: declarations and the computed tables, in the same order.
    """
    found: dict[tuple[str, ...], list[tuple[TableSpec, Table]]] = {}
    for spec, table in zip(specs, tables, strict=True):
        if _head(spec, table).unit == "percent" and _head(spec, table).direction == "higher":
            labels = dict.fromkeys(row.label for row in table.rows)
            found.setdefault((_baseline(spec), *labels), []).append((spec, table))
    made = [_together(members, baseline, labels) for (baseline, *labels), members in found.items()]
    return [one for one in made if one is not None]


def _head(spec: TableSpec, table: Table) -> Head:
    return next((h for h in table.columns if h.name == spec.primary), table.columns[0])


def _baseline(spec: TableSpec) -> str:
    rows = [] if isinstance(spec.rows, str) else spec.rows
    return next((row.label for row in rows if row.name == spec.baseline), spec.baseline or "")


def _together(
    members: Sequence[tuple[TableSpec, Table]], baseline: str, labels: Sequence[str]
) -> Aggregate | None:
    left_out: list[str] = []
    values: dict[Task, dict[str, tuple[float, ...]]] = {}
    for spec, table in members:
        head = _head(spec, table)
        for group in table.groups:
            task = Task(table.name, group, head.name)
            cells = {row.label: row.cells[head.name] for row in table.rows if row.group == group}
            apart = scored_apart(cells.values())
            enough = {label: cell for label, cell in cells.items() if cell.sample.enough}
            if apart:
                left_out.append(f"{task.name} (scored differently: {apart})")
            elif len(enough) > 1 and (not baseline or baseline in enough):
                values[task] = {label: cell.values for label, cell in enough.items()}
            elif any(cell.n for cell in cells.values()):
                left_out.append(f"{task.name} ({_why(cells, baseline)})")
    rows = [label for label in labels if values and all(label in task for task in values.values())]
    left_out += [
        f"{label} (no three seeds on {', '.join(task.name for task, found in values.items() if label not in found)})"
        for label in labels
        if label not in rows and any(label in task for task in values.values())
    ]
    if len(rows) < 2:
        return None
    by_row = {label: [found[label] for found in values.values()] for label in rows}
    every = [v for tasks in by_row.values() for task in tasks for v in task]
    thresholds = [min(every) + (max(every) - min(every)) * k / (POINTS - 1) for k in range(POINTS)]
    made = tuple(
        AggregateRow(
            label,
            sum(map(len, tasks)),
            mean_over_tasks(tasks),
            interquartile_mean(tasks),
            improvement(tasks, by_row[baseline]) if baseline in by_row and label != baseline else None,
            tuple(profile(tasks, thresholds)),
        )
        for label, tasks in by_row.items()
    )
    names = tuple(table.name for _, table in members)
    return Aggregate(names, tuple(values), baseline, tuple(thresholds), made, tuple(left_out))


def _why(cells: dict[str, Cell], baseline: str) -> str:
    if baseline and not (baseline in cells and cells[baseline].sample.enough):
        return f"{baseline} has no three seeds there"
    return "not two rows with three seeds"
