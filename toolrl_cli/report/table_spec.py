"""Declarations of tables in YAML, shipped under `specs/` or written by the user."""

from __future__ import annotations

import sys
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from toolrl_cli.errors import SpecError
from toolrl_cli.report.model import Direction
from toolrl_cli.report.statistics.basics import MIN_SEEDS
from toolrl_cli.report.statistics.seeds import PAIRED_FROM
from toolrl_cli.spec.run.frozen import Frozen
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps.reading.faults import fault_text
from toolrl_cli.spec.sweeps.reading.source import Source, read_yaml

SPECS = Path(__file__).parent / "specs"

RESERVED = frozenset({"aggregate", "claims", "curves", "report"})

MOST_DECIMALS = 12

Condition = dict[str, Any]
"""Dotted setting → value, or list of accepted values. `arm` accepts shell patterns."""


class ColumnSpec(Frozen):
    """One metric of one benchmark."""

    name: str = Field(description="key of the column in CSV and JSON")
    label: str
    metric: str = Field("", description="key under `metrics` of scores.json; default: the name")
    benchmark: str = Field("", description="default: the table's")
    unit: Literal["percent", "count"] = Field(
        "percent", description="percent: the share in scores.json × 100"
    )
    direction: Direction | None = Field(None, description="which values are better; default: the table's")
    precision: int | None = Field(
        None, strict=True, ge=0, le=MOST_DECIMALS, description="decimals; default: the table's"
    )
    categories: list[str] | None = Field(
        None, description="item categories behind the metric, for tests on items; default: the one named so"
    )


class RowSpec(Frozen):
    """One declared row: the arm that meets all conditions."""

    name: str = Field(description="key of the row; also the setting under which published numbers are found")
    label: str
    where: Condition


class StepRule(Frozen):
    """The checkpoint of one step."""

    step: int = Field(strict=True, ge=0)


class BestRule(Frozen):
    """The best evaluated checkpoint by a metric of the training stage."""

    best: str = Field(description="metric of metrics.jsonl, such as val-reward/total/mean")
    direction: Literal["higher", "lower"] = "higher"


Checkpoint = Literal["last", "best"] | StepRule | BestRule
"""Which of several evaluated checkpoints of a run a table shows."""


class TableSpec(Frozen):
    """A table: rows, columns, which results fill it, and how they are compared."""

    name: str
    title: str
    caption: str = ""
    benchmark: str = ""
    rows: Literal["arms"] | list[RowSpec] = Field(
        "arms", description="arms: one row per arm, in order of the sweep"
    )
    columns: list[ColumnSpec] = Field(min_length=1)
    filter: Condition = Field({}, description="only runs for which all of this holds")
    group_by: str | None = Field(None, description="dotted setting; one block of rows for each of its values")
    precision: int = Field(1, strict=True, ge=0, le=6)
    direction: Direction = "higher"
    baseline: str | None = Field(None, description="name of the row that the others are tested against")
    test: Literal["seeds", "welch", "paired", "items"] = Field(
        "seeds",
        description="seeds: paired t test where two arms share five seeds or more, else Welch's; welch, paired: always"
        " that one; items: exact sign-flip test of verdicts, clustered by item",
    )
    primary: str | None = Field(
        None,
        description="column whose tests are a family of their own, and whose detectable difference the notes name;"
        " without one all columns are one family",
    )
    checkpoint: Checkpoint = Field(
        "last",
        description="where several checkpoints of a run were evaluated: the last, the best (as exported by validation),"
        " one step, or the best by a metric",
    )
    published: str | None = Field(None, description="the printed table these rows and columns reproduce")

    @model_validator(mode="after")
    def _names_hold(self) -> TableSpec:
        if self.name.lower() in RESERVED:
            raise ValueError(f"name {self.name!r} is taken by another file of the report")
        columns = [c.name for c in self.columns]
        no_twins(columns, "columns")
        if not all(c.benchmark or self.benchmark for c in self.columns):
            raise ValueError("a column names no benchmark, and neither does the table")
        if self.primary is not None and self.primary not in columns:
            raise ValueError(
                f"primary {self.primary!r} is no column; {hint_for(self.primary, columns, 'columns')}"
            )
        if isinstance(self.rows, list):
            rows = [r.name for r in self.rows]
            no_twins(rows, "rows")
            no_twins([r.label for r in self.rows], "rows", "labelled")
            if self.baseline is not None and self.baseline not in rows:
                raise ValueError(
                    f"baseline {self.baseline!r} is no row; {hint_for(self.baseline, rows, 'rows')}"
                )
        return self

    @property
    def paired_from(self) -> int:
        """Fewest shared seeds from which the test pairs two arms."""
        return {"paired": MIN_SEEDS, "welch": sys.maxsize}.get(self.test, PAIRED_FROM)

    @cached_property
    def benchmarks(self) -> list[str]:
        """Every benchmark that a column reads."""
        return list(dict.fromkeys(c.benchmark or self.benchmark for c in self.columns))


def shipped_tables() -> list[str]:
    """Names of the shipped tables: the paper's in its order, the camera-ready's, then the others."""

    def order(name: str) -> tuple[int, int, str]:
        letters, digits = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
        rank = {"T": 0, "CR": 1}.get(letters, 2)
        return rank, int(digits or 0) if rank < 2 else 0, name

    return sorted((p.stem for p in SPECS.glob("*.yaml")), key=order)


def is_shipped(spec: TableSpec) -> bool:
    """Whether it is a shipped table as it stands; one of the user's own may have kept the name."""
    return spec.name in shipped_tables() and spec == _shipped(spec.name)


@cache
def _shipped(name: str) -> TableSpec:
    return load_table(name)


def is_file(name: str) -> bool:
    """Whether a table's name is the path of a YAML file."""
    return name.endswith((".yaml", ".yml")) or "/" in name


def anchored(name: str, folder: Path) -> str:
    """A table's name that is valid in any working directory: paths are made absolute.

    Args:
        folder: folder of the file that names it; relative paths are searched there, then in the working directory.
    """
    if not is_file(name):
        return name
    beside = folder / name
    return str((beside if beside.exists() else Path(name)).absolute())


def load_table(name: str) -> TableSpec:
    """A shipped table by name (case does not matter), or a user's own by the path of its YAML file.

    Raises:
        SpecError: the table does not exist, or the file has no table.
    """
    if is_file(name):
        return _validated(read_yaml(Path(name)))
    shipped = {n.lower(): n for n in shipped_tables()}
    if name.lower() not in shipped:
        hint = hint_for(name, [*shipped.values()], "tables")
        raise SpecError(f"unknown table {name!r}", "--table", f"{hint} or give the path of a YAML file")
    return _validated(read_yaml(SPECS / f"{shipped[name.lower()]}.yaml"))


def _validated(source: Source) -> TableSpec:
    try:
        return TableSpec.model_validate(source.data)
    except ValidationError as error:
        raise _fault(error, source) from None


def _fault(error: ValidationError, source: Source) -> SpecError:
    # an unknown key explains a missing one beside it; of a union's faults, the deepest is about the intended member
    faults = error.errors(include_url=False)
    fault = max(faults, key=lambda f: (f["type"] == "extra_forbidden", len(f["loc"])))
    path = tuple(p for p in fault["loc"] if isinstance(p, int) or _is_key(p))
    if fault["type"] == "extra_forbidden":
        valid = {1: TableSpec}.get(len(path), ColumnSpec if path[0] == "columns" else RowSpec).model_fields
        return SpecError(
            f"unknown key {path[-1]!r}", source.where(path), hint_for(str(path[-1]), valid, "keys")
        )
    return SpecError(
        fault_text(fault), source.where(path), "the shipped tables under toolrl_cli/report/specs are examples"
    )


def _is_key(part: str) -> bool:
    """Whether a part of pydantic's location is a key of the file, and not the name of a union's member."""
    return (part.isidentifier() and part not in ("StepRule", "BestRule")) or "." in part


def no_twins(names: list[str], what: str, called: str = "named") -> None:
    """Refuse a name that stands twice.

    Raises:
        ValueError: one does.
    """
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two {what} are {called} {name!r}")
