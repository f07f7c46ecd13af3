"""A computed table: what every output format prints.

All rounding happens when these objects are made, so no two formats can say different numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from toolrl_cli.report.statistics import MIN_SEEDS, Sample

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True)
class Head:
    """A column as printed. `precision`: decimals of every number in it; `unit`: `percent` or `count`."""

    name: str
    label: str
    precision: int
    direction: Direction = "higher"
    unit: str = "percent"


@dataclass(frozen=True)
class Source:
    """Where one value of a cell comes from.

    Attributes:
        runs, seeds: the runs that share this evaluation.
        stage: id of the `evaluate` stage.
        trained, step: id of the training stage whose model was asked, and the step of its checkpoint.
        items: path of the per-item verdicts under the results root, or empty where they are missing.
        value: the unrounded value, in the column's unit.
        state: status, for an evaluation without a value.
        checkpoint: how that checkpoint was chosen: `last`, `best` or `step N`; empty for a model as it came.
    """

    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    stage: str
    trained: str | None
    step: int | None
    items: str
    value: float | None
    state: str = ""
    checkpoint: str = ""


@dataclass(frozen=True)
class Printed:
    """A published number beside a cell.

    Attributes:
        value: as printed, in the column's unit.
        source: who printed it.
        table, protocol, commit: where it stands, how it was scored, and the benchmark's code where that is known.
        mark: what is wrong with the number itself.
        refusal: why it may not be compared with ours.
        derived, derived_error: what the printed row gives under our protocol, where that can be derived.
        difference: ours - derived where there is one, else ours - value (of a misprint, what it must have been); None
            where neither may be compared.
    """

    value: float
    source: str
    table: str = ""
    protocol: str = ""
    commit: str = ""
    mark: str = ""
    refusal: str = ""
    derived: float | None = None
    derived_error: float | None = None
    difference: float | None = None

    @property
    def impossible(self) -> bool:
        """Whether the number cannot be right, and what it must have been is unknown."""
        return self.mark.startswith("impossible")

    @property
    def suspect(self) -> bool:
        """Whether the number cannot be right."""
        return self.impossible or self.mark.startswith("misprint")


@dataclass(frozen=True)
class Cell:
    """One row under one column.

    Attributes:
        mean: mean over evaluations, rounded to the column's precision; None where there is no value.
        ci: half-width of the 95 % t interval over seeds, rounded likewise; None for n < 3.
        n: evaluations with a value; the seeds of an arm, unless several seeds share one evaluation.
        planned: evaluations planned.
        state: stands in the cell where there is no mean (`failed: oom`, `running 12/25`, `–`).
        notes: everything else a reader must know about this cell, one fact each.
        best, second: within the row's group. star: differs from the baseline after correction.
        sampling: half-width of the 95 % Wilson interval of one evaluation; None where the metric is no share.
        conditions: under which all its values were scored (see `scores.CONDITIONS`).
    """

    mean: float | None = None
    ci: float | None = None
    n: int = 0
    planned: int = 0
    state: str = "–"
    notes: tuple[str, ...] = ()
    printed: Printed | None = None
    best: bool = False
    second: bool = False
    star: bool = False
    sampling: float | None = None
    values: tuple[float, ...] = ()
    sources: tuple[Source, ...] = ()
    conditions: Mapping[str, str] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """All notes in one line."""
        return "; ".join(self.notes)

    @property
    def sample(self) -> Sample:
        """The values as one side of a test; constant where several seeds share the one evaluation."""
        shared = [s for s in self.sources if s.value is not None and len(s.seeds) >= MIN_SEEDS]
        return Sample(self.values, constant=self.n == 1 and bool(shared))


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        arm: its full name, unique in the table; `label` is its name within `group`.
        source_arm: name of the sweeps' arm that fills it, empty where none does.
    """

    arm: str
    label: str
    group: str
    cells: Mapping[str, Cell]
    source_arm: str = ""


@dataclass(frozen=True)
class Table:
    """A table with what is to be said under it; `published_only` where it holds printed numbers alone."""

    name: str
    title: str
    columns: tuple[Head, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    published_only: bool = False

    @property
    def groups(self) -> list[str]:
        """Names of the groups in order; one empty name for a table without groups."""
        return list(dict.fromkeys(row.group for row in self.rows)) or [""]


def rounded(value: float, precision: int) -> float:
    """`value` to `precision` decimals, without negative zero."""
    return round(value, precision) + 0.0


def fixed(value: float, precision: int, sign: bool = False) -> str:
    """A rounded value as text with all its decimals."""
    return f"{value:{'+' if sign else ''}.{precision}f}"
