"""The classes of a computed table, which all output formats print.

All rounding happens when these objects are created, so that all formats print the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from toolrl_cli.report.statistics import MIN_SEEDS, Sample

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True)
class Head:
    """A column as printed; `precision` is the decimals of its numbers, `unit` is `percent` or `count`."""

    name: str
    label: str
    precision: int
    direction: Direction = "higher"
    unit: str = "percent"


@dataclass(frozen=True)
class Source:
    """The origin of one value of a cell.

    Attributes:
        runs, seeds: the runs that share this evaluation.
        stage: id of the `evaluate` stage.
        trained, step: id of the training stage of the evaluated model, and the step of its checkpoint.
        items: path of the per-item verdicts under the results root; empty if they are missing.
        value: the unrounded value, in the column's unit.
        state: status, for an evaluation without a value.
        checkpoint: how that checkpoint was chosen: `last`, `best` or `step N`; empty for an untrained model.
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
        table, protocol, commit: the printed table, how it was scored, and the benchmark's commit if known.
        mark: the fault of the number itself, if any.
        refusal: why it may not be compared with ours; empty if it may.
        derived, derived_error: the printed row's value under our protocol, if it can be derived.
        difference: ours - derived if there is one, else ours - value (for a misprint, its corrected value); None if
            neither may be compared.
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
        """Whether the number cannot be right and its correct value is unknown."""
        return self.mark.startswith("impossible")

    @property
    def suspect(self) -> bool:
        """Whether the number cannot be right."""
        return self.impossible or self.mark.startswith("misprint")


@dataclass(frozen=True)
class Cell:
    """One row in one column.

    Attributes:
        mean: mean over evaluations, rounded to the column's precision; None without values.
        ci: half-width of the 95 % t interval over seeds, rounded likewise; None for n < 3.
        n: number of evaluations with a value; the seeds of an arm, unless several seeds share one evaluation.
        planned: number of planned evaluations.
        state: printed if there is no mean (`failed: oom`, `running 12/25`, `–`).
        notes: other facts that a reader must know about this cell, one each.
        best, second: within the row's group. star: differs from the baseline after correction.
        sampling: half-width of the 95 % Wilson interval of one evaluation; None if the metric is not a share.
        conditions: the conditions under which all its values were scored (see `scores.CONDITIONS`).
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
        """The values as one side of a test; constant if several seeds share one evaluation."""
        shared = [s for s in self.sources if s.value is not None and len(s.seeds) >= MIN_SEEDS]
        return Sample(self.values, constant=self.n == 1 and bool(shared))


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        arm: its full name, unique in the table; `label` is its name within `group`.
        source_arm: name of the sweep's arm in this row; empty if there is none.
    """

    arm: str
    label: str
    group: str
    cells: Mapping[str, Cell]
    source_arm: str = ""


@dataclass(frozen=True)
class Table:
    """A table and its notes; `published_only` if it has printed numbers alone."""

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
