"""Tests claims on results and on the printed tables.

A claim is supported when the 95 % interval of its difference lies wholly on the claimed side, contradicted when it
lies wholly on the other, and undecided in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolrl_cli.report.cells import scored_apart
from toolrl_cli.report.comparisons.claims import ClaimSpec, Verdict
from toolrl_cli.report.model import Cell
from toolrl_cli.report.sources.chosen_evaluation import Validation
from toolrl_cli.report.sources.published import Published, load_published
from toolrl_cli.report.sources.results import Sweep
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

STAND_IN = "toolworld"
"""Benchmark on which a claim is tested if its own was not run, unless the claim is about the size of a difference."""


@dataclass(frozen=True)
class Step:
    """The comparison of one neighbouring pair in a claim's order.

    Attributes:
        comparison: better - worse over seeds, averaged over models and measures; None if not possible.
        why: why there is no comparison.
        needed: seeds per arm that would decide it if the difference stays the same; None if unknown.
        found: whether both have results on some model, even if too few.
        left_out: models and measures with results that are not in the comparison, each with the reason.
    """

    better: str
    worse: str
    comparison: Comparison | None
    verdict: Verdict
    why: str
    needed: int | None
    found: bool
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClaimResult:
    """The verdict of results on a claim.

    Attributes:
        on: benchmarks on which it was tested; empty without results.
        steps: one for each neighbouring pair of the order.
        verdict: of all steps together; undecided if a step has too few seeds.
        needed: seeds per arm that would decide it if the differences stay the same; None if unknown.
        printed: the verdict of the printed tables, which have one run per arm; None if they have no such numbers.
        printed_note: the number of printed comparisons in which it holds, and those in which it does not.
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
        """Whether any pair of its arms has results, even if too few."""
        return any(step.found for step in self.steps)


@dataclass(frozen=True, eq=False)
class _Place:
    """The two arms of a step on one model and one of the claim's measures."""

    model: str
    measure: str
    better: Cell
    worse: Cell

    @property
    def fault(self) -> str:
        """Why it cannot be compared; empty if it can."""
        apart = scored_apart(self.better, self.worse)
        too_few = [c.n for c in (self.better, self.worse) if not c.sample.enough]
        return apart or (f"{min(too_few)} of at least {MIN_SEEDS} seeds" if too_few else "")


def judge_claims(
    claims: Sequence[ClaimSpec], sweeps: Sequence[Sweep], results: Path, validation: Validation
) -> list[ClaimResult]:
    """Judge all claims on the results and on the printed tables."""
    ran = {e.benchmark for sweep in sweeps for run in sweep.runs for e in run.evaluations}
    return [_judge(claim, ran, sweeps, results, validation) for claim in claims]


def _judge(
    claim: ClaimSpec, ran: set[str], sweeps: Sequence[Sweep], results: Path, validation: Validation
) -> ClaimResult:
    specs = [_narrowed(place) for place in claim.measure]
    measured = [s for s in specs if s.benchmarks[0] in ran]
    if not measured and STAND_IN in ran and claim.about is None:
        measured = [_on_stand_in(specs[0])]
    rows = [found for spec in measured for found in _rows(spec, sweeps, results, validation)]
    steps = tuple(
        _step(claim, better, worse, rows) for better, worse in zip(claim.order, claim.order[1:], strict=False)
    )
    printed, note = _on_paper(claim, specs, load_published("paper"))
    needed = [s.needed for s in steps if s.verdict == "undecided"]
    return ClaimResult(
        spec=claim,
        on=", ".join(dict.fromkeys(s.benchmarks[0] for s in measured)),
        steps=steps,
        verdict=_together(steps),
        needed=max((n for n in needed if n is not None), default=None) if None not in needed else None,
        printed=printed,
        printed_note=note,
    )


def _together(steps: Sequence[Step]) -> Verdict:
    verdicts = {s.verdict for s in steps}
    if "contradicted" in verdicts:
        return "contradicted"
    return "supported" if verdicts == {"supported"} else "undecided"


def _narrowed(place: str) -> TableSpec:
    """The declaration reduced to one column, without tests."""
    table, column = place.rsplit("/", 1)
    spec = load_table(table)
    kept = [c for c in spec.columns if c.name == column]
    return spec.model_copy(update={"columns": kept, "baseline": None, "primary": None})


def _on_stand_in(spec: TableSpec) -> TableSpec:
    column = ColumnSpec(name="overall", label="Overall", benchmark=STAND_IN)
    return TableSpec.model_validate(
        {**spec.model_dump(), "benchmark": STAND_IN, "columns": [column.model_dump()], "published": None}
    )


def _rows(
    spec: TableSpec, sweeps: Sequence[Sweep], results: Path, validation: Validation
) -> Iterator[tuple[str, str, str, Cell]]:
    """Model, measure, row and cell of a table with one column."""
    measure = f"{spec.name}/{spec.columns[0].name}"
    names = {r.label: r.name for r in spec.rows if not isinstance(r, str)}
    for row in build_table(spec, sweeps, results, validation).rows:
        yield row.group, measure, names[row.label], next(iter(row.cells.values()))


def _step(claim: ClaimSpec, better: str, worse: str, rows: Sequence[tuple[str, str, str, Cell]]) -> Step:
    cells = {(model, measure, row): cell for model, measure, row, cell in rows if cell.values}
    places = [
        _Place(model, measure, cell, cells[model, measure, worse])
        for (model, measure, row), cell in cells.items()
        if row == better and (model, measure, worse) in cells
    ]
    if not places:
        missing = [name for name in (better, worse) if not any(row == name for _, _, row in cells)]
        why, found = _why_missing(missing, rows)
        return Step(better, worse, None, "undecided", why, None, found=found)
    strata, faults = _strata(places)
    comparison = stratified_difference(strata)
    if comparison is None:
        why = "; ".join(dict.fromkeys(faults.values())) or "nothing in either depends on a seed"
        return Step(better, worse, None, "undecided", why, None, found=True)
    verdict = claim.judge(comparison.low, comparison.high)
    needed = _needed(strata, claim.distance(comparison.difference)) if verdict == "undecided" else None
    left_out = tuple(f"{place.model} on {place.measure} ({fault})" for place, fault in faults.items())
    return Step(better, worse, comparison, verdict, "", needed, found=True, left_out=left_out)


def _why_missing(names: Sequence[str], rows: Sequence[tuple[str, str, str, Cell]]) -> tuple[str, bool]:
    """Why arms have no value, or no two of them on one model, and whether they have any results."""
    unclear = {row: cell.notes[0] for _, _, row, cell in rows if row in names and cell.state == "ambiguous"}
    absent = [name for name in names if name not in unclear]
    why = [f"no results for {' and '.join(absent)}"] if absent else []
    why += [f"{name}: {note}" for name, note in unclear.items()]
    return "; ".join(why) or "never on the same model", bool(unclear) and not absent


def _strata(places: Sequence[_Place]) -> tuple[list[tuple[Sample, Sample]], dict[_Place, str]]:
    """The two arms on each model where they can be compared, and why the others are left out."""
    strata: list[tuple[Sample, Sample]] = []
    faults = {place: place.fault for place in places}
    for model in dict.fromkeys(place.model for place in places):
        usable = [p for p in places if p.model == model and not faults[p]]
        if not usable:
            continue
        pair = _over_measures([p.better for p in usable]), _over_measures([p.worse for p in usable])
        if all(sample.enough for sample in pair):
            strata.append(pair)
        else:
            faults |= dict.fromkeys(usable, f"fewer than {MIN_SEEDS} seeds have every measure")
    return strata, {place: fault for place, fault in faults.items() if fault}


def _over_measures(cells: Sequence[Cell]) -> Sample:
    """The values of one arm on one model: each seed's value averaged over the claim's measures.

    A seed is one trained model, and its gain on one benchmark may come with a gain on all. So its values on several
    benchmarks are not independent, and count as one.
    """
    varying = [c for c in cells if not c.sample.constant]
    same = math.fsum(c.values[0] for c in cells if c.sample.constant)
    if not varying:
        return Sample((same / len(cells),), constant=True)
    by_seed = [{seed: s.value for s in c.sources if s.value is not None for seed in s.seeds} for c in varying]
    seeds = sorted(set.intersection(*map(set, by_seed)))
    return Sample(tuple((same + math.fsum(v[seed] for v in by_seed)) / len(cells) for seed in seeds))


def _needed(strata: Sequence[tuple[Sample, Sample]], distance: float) -> int | None:
    """Seeds per arm with which a difference this far from the verdict's threshold is found 4 times in 5."""
    varying = [sample.values for pair in strata for sample in pair if not sample.constant]
    spread = pooled_sd(varying)
    if spread is None:
        return None
    # the spread of a mean over strata; `seeds_needed` takes that of one of two arms that both vary
    error = spread * math.sqrt(len(varying) / 2) / len(strata)
    needed = seeds_needed(error, distance)
    return None if needed is None else max(needed, 1 + min(map(len, varying)))


def _on_paper(claim: ClaimSpec, specs: Sequence[TableSpec], paper: Published) -> tuple[Verdict | None, str]:
    """Whether the printed numbers support a claim; impossible rows are left out."""
    differences: list[tuple[str, float]] = []
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
                differences.append((f"{model} on {spec.benchmarks[0]}{pair}", a.target - b.target))
    if not differences:
        return None, "not printed"
    mean = sum(d for _, d in differences) / len(differences)
    spare = f"; {left_out} left out as impossible" if left_out else ""
    if claim.about is not None:
        return claim.judge(mean, mean), f"mean {mean:+.2f} over {len(differences)} comparisons{spare}"
    fails = [place for place, d in differences if claim.judge(d, d) != "supported"]
    held = len(differences) - len(fails)
    verdict: Verdict = "supported" if not fails else "contradicted" if not held else "undecided"
    told = f"holds in {held} of {len(differences)}"
    if fails:
        told += f", not for {'; '.join(fails[:3])}" + ("; …" if len(fails) > 3 else "")
    return verdict, told + spare
