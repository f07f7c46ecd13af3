"""The classes of a computed table, which all output formats print.

All rounding happens when these objects are created, so that all formats print the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from toolrl_cli.report.statistics.basics import LEVEL, MIN_SEEDS, Comparison
from toolrl_cli.report.statistics.items import wilson_error
from toolrl_cli.report.statistics.seeds import Sample

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True)
class Head:
    """A column as printed; `precision` is the decimals of its numbers, `unit` is `percent` or `count`."""

    name: str
    label: str
    precision: int
    direction: Direction = "higher"
    unit: str = "percent"
    benchmark: str = ""

    @property
    def limit(self) -> float:
        """The largest value, which is also the largest difference of two."""
        return 100.0 if self.unit == "percent" else math.inf

    def ends(self, low: float, high: float, least: float) -> tuple[float, float]:
        """An interval of values, of which this is the least, cut to what values can be, and rounded."""
        floor = 0.0 if least >= 0 else -math.inf  # a value below 0 is of something that is no count
        return rounded(max(low, floor), self.precision), rounded(min(high, self.limit), self.precision)


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
        difference_error: half-width of its 95 % interval (see `against.error_of`); None if unknown.
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
    difference_error: float | None = None

    @property
    def impossible(self) -> bool:
        """Whether the number cannot be right and its correct value is unknown."""
        return self.mark.startswith("impossible")

    @property
    def suspect(self) -> bool:
        """Whether the number cannot be right."""
        return self.impossible or self.mark.startswith("misprint")


@dataclass(frozen=True)
class Tested:
    """The test of a cell against the baseline row.

    Attributes:
        comparison: cell - baseline, in the column's unit.
        adjusted: its p after Holm's correction over its family.
        family: `primary`, `other` (the columns beside the primary one) or `table` (where none is primary).
    """

    comparison: Comparison
    adjusted: float
    family: str


@dataclass(frozen=True)
class Cell:
    """One row in one column.

    Attributes:
        mean: mean over evaluations, rounded to the column's precision; None without values.
        ci: half-width of the 95 % t interval over seeds, rounded likewise; None for n < 3, or if no seed differs.
        low, high: the ends of that interval, cut to what values can be (0 to 100 for percentages); None as `ci`.
        with_items: half-width with the items' error added; None if either is unknown.
        n: number of evaluations with a value; the seeds of an arm, unless several seeds share one evaluation.
        planned: number of planned evaluations.
        state: printed if there is no mean (`failed: oom`, `running 12/25`, `–`).
        notes: other facts that a reader must know about this cell, one each.
        best, second: the highest and the next mean of the row's group (see `marks`).
        tested: the test against the baseline row; None where there is none.
        sampling: half-width of the 95 % Wilson interval of one evaluation; None if the metric is not a share.
        resolution: the smallest step between two values, one item; a digit of the column where items are not counted.
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
    tested: Tested | None = None
    sampling: float | None = None
    with_items: float | None = None
    low: float | None = None
    high: float | None = None
    resolution: float = 0.0
    values: tuple[float, ...] = ()
    sources: tuple[Source, ...] = ()
    conditions: Mapping[str, str] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """All notes in one line."""
        return "; ".join(self.notes)

    @property
    def star(self) -> bool:
        """Whether it differs from the baseline after correction."""
        return self.tested is not None and self.tested.adjusted < LEVEL

    @property
    def sample(self) -> Sample:
        """The values as one side of a test; constant if several seeds share one evaluation."""
        valued = [s for s in self.sources if s.value is not None]
        shared = [s for s in valued if len(s.seeds) >= MIN_SEEDS]
        single = all(len(s.seeds) == 1 for s in valued)
        return Sample(
            self.values,
            constant=self.n == 1 and bool(shared),
            seeds=tuple(s.seeds[0] for s in valued) if single and len(valued) == len(self.values) else (),
            item_error=None if self.sampling is None else wilson_error(self.sampling),
            resolution=self.resolution,
        )

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that have a value."""
        return tuple(sorted({seed for s in self.sources if s.value is not None for seed in s.seeds}))


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        arm: its full name, unique in the table; `label` is its name within `group`.
        name: of the declared row, or the arm's: by it claims, pairs and the baseline find the row.
        source_arm: name of the sweep's arm in this row; empty if there is none.
        aliases: other names of that arm.
    """

    arm: str
    label: str
    name: str
    group: str
    cells: Mapping[str, Cell]
    source_arm: str = ""
    aliases: tuple[str, ...] = ()

    def named(self, name: str | None) -> bool:
        """Whether this is the row of that name; a row that is an arm has all the arm's names."""
        return name == self.name or (self.name == self.source_arm and name in self.aliases)


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


def digits(p: float) -> float:
    """A p value to four significant digits."""
    return float(f"{p:.4g}")
