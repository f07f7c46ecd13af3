"""Statements about rewards and training, tested on results and on the printed tables.

A claim is supported when the 95 % interval of its difference lies wholly on the claimed side, contradicted when it
lies wholly on the other, and undecided in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from toolrl_cli.errors import SpecError
from toolrl_cli.report.checkpoints import Validation
from toolrl_cli.report.model import Cell
from toolrl_cli.report.published import Published, load_published
from toolrl_cli.report.results import Sweep
from toolrl_cli.report.statistics import (
    MIN_SEEDS,
    Comparison,
    Sample,
    pooled_sd,
    seeds_needed,
    stratified_difference,
)
from toolrl_cli.report.table_spec import ColumnSpec, TableSpec, load_table
from toolrl_cli.report.tables import build_table
from toolrl_cli.spec.models import Frozen
from toolrl_cli.spec.source import read_yaml
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweep import fault_text

SHIPPED = Path(__file__).parent / "claims.yaml"
STAND_IN = "toolworld"
"""Benchmark on which a claim is tested where its own was not run; a claim about a size is not."""

Verdict = Literal["supported", "contradicted", "undecided"]


class ClaimSpec(Frozen):
    """One claim, as written in YAML."""

    name: str
    text: str
    source: str = ""
    order: list[str] = Field(min_length=2, description="rows, each better than the next")
    measure: list[str] = Field(min_length=1, description="TABLE/COLUMN; effects are averaged over them")
    margin: float = Field(0.0, description="points by which each must be better than the next")
    about: float | None = Field(None, description="points by which it is better; needs `within`")
    within: float | None = Field(None, gt=0)

    @field_validator("measure")
    @classmethod
    def _table_and_column(cls, measure: list[str]) -> list[str]:
        for place in measure:
            if "/" not in place:
                raise ValueError(f"{place!r} is not TABLE/COLUMN")
        return measure

    @model_validator(mode="after")
    def _about_is_whole(self) -> ClaimSpec:
        if (self.about is None) != (self.within is None):
            raise ValueError("`about` and `within` go together")
        return self

    def judge(self, low: float, high: float) -> Verdict:
        """The verdict on an interval of the difference; equal ends judge a single number."""
        if self.about is None or self.within is None:
            return (
                "supported" if low > self.margin else "contradicted" if high <= self.margin else "undecided"
            )
        floor, ceiling = self.about - self.within, self.about + self.within
        if floor <= low and high <= ceiling:
            return "supported"
        return "contradicted" if high < floor or low > ceiling else "undecided"

    def distance(self, difference: float) -> float:
        """How far a difference is from the nearest value at which the verdict changes."""
        if self.about is None or self.within is None:
            return abs(difference - self.margin)
        return abs(abs(difference - self.about) - self.within)


class ClaimFile(Frozen):
    """A file of claims."""

    claims: list[ClaimSpec] = Field(min_length=1)


@dataclass(frozen=True)
class Step:
    """One neighbouring pair of a claim's order: what was found between the two."""

    better: str
    worse: str
    comparison: Comparison | None
    verdict: Verdict
    why: str
    needed: int | None
    found: bool


@dataclass(frozen=True)
class ClaimResult:
    """A claim on results.

    Attributes:
        on: benchmarks on which it was tested; empty where no results bear on it.
        steps: one for each neighbouring pair of the order.
        verdict: of all steps together; undecided where a step lacks seeds.
        needed: seeds an arm that would decide it, if the differences stay as they are; None where unknown.
        printed: the verdict of the printed tables, which have one run an arm; None where they do not say.
        printed_note: in how many of the printed comparisons it holds, and which not.
    """

    spec: ClaimSpec
    on: str
    steps: tuple[Step, ...]
    verdict: Verdict
    needed: int | None
    printed: Verdict | None
    printed_note: str

    @property
    def tested(self) -> bool:
        """Whether any pair of its arms has results, be they too few."""
        return any(step.found for step in self.steps)


def load_claims(path: Path | None = None) -> list[ClaimSpec]:
    """The shipped claims, or a user's own.

    Raises:
        SpecError: the file is no file of claims, or names a table, column or row that does not exist.
    """
    source = read_yaml(path or SHIPPED)
    try:
        claims = ClaimFile.model_validate(source.data).claims
    except ValidationError as error:
        faults = error.errors(include_url=False)
        fault = max(faults, key=lambda f: f["type"] == "extra_forbidden")
        where, key = source.where(fault["loc"]), str(fault["loc"][-1])
        if fault["type"] == "extra_forbidden":
            raise SpecError(
                f"unknown key {key!r}", where, hint_for(key, ClaimSpec.model_fields, "keys")
            ) from None
        raise SpecError(fault_text(fault), where, "the shipped claims.yaml is an example") from None
    for position, claim in enumerate(claims):
        for place in claim.measure:
            _check(claim, place, source.where(("claims", position)))
    return claims


def judge_claims(
    claims: Sequence[ClaimSpec], sweeps: Sequence[Sweep], results: Path, validation: Validation
) -> list[ClaimResult]:
    """Every claim on the results and on the printed tables."""
    ran = {e.benchmark for sweep in sweeps for run in sweep.runs for e in run.evaluations}
    return [_judge(claim, ran, sweeps, results, validation) for claim in claims]


def _check(claim: ClaimSpec, place: str, where: str) -> None:
    table, column = place.rsplit("/", 1)
    spec = load_table(table)
    columns = [c.name for c in spec.columns]
    if column not in columns:
        raise SpecError(
            f"table {table} has no column {column!r}", where, hint_for(column, columns, "columns")
        )
    rows = [] if isinstance(spec.rows, str) else [r.name for r in spec.rows]
    for name in claim.order:
        if name not in rows:
            raise SpecError(f"table {table} has no row {name!r}", where, hint_for(name, rows, "rows"))


def _judge(
    claim: ClaimSpec, ran: set[str], sweeps: Sequence[Sweep], results: Path, validation: Validation
) -> ClaimResult:
    specs = [_narrowed(place) for place in claim.measure]
    measured = [s for s in specs if s.benchmarks[0] in ran]
    if not measured and STAND_IN in ran and claim.about is None:
        measured = [_on_stand_in(specs[0])]
    tables = [(s, build_table(s, sweeps, results, validation)) for s in measured]
    cells: dict[tuple[str, str], dict[str, Cell]] = {}
    for spec, table in tables:
        names = {r.label: r.name for r in spec.rows if not isinstance(r, str)}
        for row in table.rows:
            cells.setdefault((spec.name, row.group), {})[names[row.label]] = next(iter(row.cells.values()))
    steps = tuple(
        _step(claim, better, worse, list(cells.values()))
        for better, worse in zip(claim.order, claim.order[1:], strict=False)
    )
    verdicts = {s.verdict for s in steps}
    verdict: Verdict = "supported" if verdicts == {"supported"} else "undecided"
    if "contradicted" in verdicts:
        verdict = "contradicted"
    needed = [s.needed for s in steps if s.verdict == "undecided"]
    printed, note = _on_paper(claim, specs, load_published("paper"))
    return ClaimResult(
        spec=claim,
        on=", ".join(dict.fromkeys(s.benchmarks[0] for s in measured)),
        steps=steps,
        verdict=verdict,
        needed=max(n for n in needed if n is not None)
        if needed and all(n is not None for n in needed)
        else None,
        printed=printed,
        printed_note=note,
    )


def _narrowed(place: str) -> TableSpec:
    """A table of one column, without tests."""
    table, column = place.rsplit("/", 1)
    spec = load_table(table)
    kept = [c for c in spec.columns if c.name == column]
    return spec.model_copy(update={"columns": kept, "baseline": None, "primary": None})


def _on_stand_in(spec: TableSpec) -> TableSpec:
    column = ColumnSpec(name="overall", label="Overall", benchmark=STAND_IN)
    return TableSpec.model_validate(
        {**spec.model_dump(), "benchmark": STAND_IN, "columns": [column.model_dump()], "published": None}
    )


def _step(claim: ClaimSpec, better: str, worse: str, groups: Sequence[dict[str, Cell]]) -> Step:
    pairs = [(g[better], g[worse]) for g in groups if g[better].values and g[worse].values]
    if not pairs:
        missing = [name for name in (better, worse) if not any(g[name].values for g in groups)]
        why = f"no results for {' and '.join(missing)}" if missing else "never on the same model"
        return Step(better, worse, None, "undecided", why, None, found=False)
    strata = [(_sample(a), _sample(b)) for a, b in pairs]
    enough = [(a, b) for a, b in strata if a.enough and b.enough]
    comparison = stratified_difference(enough)
    if comparison is None:
        fewest = min(len(s.values) for pair in strata for s in pair if not s.enough)
        return Step(
            better, worse, None, "undecided", f"{fewest} of at least {MIN_SEEDS} seeds", None, found=True
        )
    verdict = claim.judge(comparison.low, comparison.high)
    spread = pooled_sd([s.values for pair in enough for s in pair if not s.constant])
    needed = None
    if verdict == "undecided" and spread is not None:
        needed = seeds_needed(spread / len(enough) ** 0.5, claim.distance(comparison.difference))
    return Step(better, worse, comparison, verdict, "", needed, found=True)


def _sample(cell: Cell) -> Sample:
    shared = cell.n == 1 and len(cell.sources[0].runs) >= MIN_SEEDS
    return Sample(cell.values, constant=shared)


def _on_paper(claim: ClaimSpec, specs: Sequence[TableSpec], paper: Published) -> tuple[Verdict | None, str]:
    """Whether the printed numbers bear a claim out; impossible rows are left out."""
    differences: dict[str, float] = {}
    left_out = 0
    for spec in specs:
        metric = spec.columns[0].metric or spec.columns[0].name
        for model in paper.models(spec.published or ""):
            for better, worse in zip(claim.order, claim.order[1:], strict=False):
                a = paper.find(spec.published or "", model, better, metric)
                b = paper.find(spec.published or "", model, worse, metric)
                if a is None or b is None:
                    continue
                if a.impossible or b.impossible:
                    left_out += 1
                    continue
                pair = f", {better} over {worse}" if len(claim.order) > 2 else ""
                differences[f"{model} on {spec.benchmarks[0]}{pair}"] = a.value - b.value
    if not differences:
        return None, "not printed"
    mean = sum(differences.values()) / len(differences)
    spare = f"; {left_out} left out as impossible" if left_out else ""
    if claim.about is not None:
        return claim.judge(mean, mean), f"mean {mean:+.2f} over {len(differences)} comparisons{spare}"
    fails = [place for place, d in differences.items() if claim.judge(d, d) != "supported"]
    held = len(differences) - len(fails)
    verdict: Verdict = "supported" if not fails else "contradicted" if not held else "undecided"
    told = f"holds in {held} of {len(differences)}"
    if fails:
        told += f", not for {'; '.join(fails[:3])}" + ("; …" if len(fails) > 3 else "")
    return verdict, told + spare
