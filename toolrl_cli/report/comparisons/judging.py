"""Tests claims on results and on the printed tables.

A claim is supported when the 95 % interval of its difference lies wholly on the claimed side, contradicted when it
lies wholly on the other, and undecided in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolrl_cli.report.cells import head_of
from toolrl_cli.report.comparability import not_comparable
from toolrl_cli.report.comparisons.claim_power import claim_needs, step_needs
from toolrl_cli.report.comparisons.claims import ClaimSpec, Verdict, table_of
from toolrl_cli.report.model import Cell, Head
from toolrl_cli.report.sources.chosen_evaluation import Validation
from toolrl_cli.report.sources.published import Published, load_published
from toolrl_cli.report.sources.results import Sweep
from toolrl_cli.report.statistics.basics import MIN_SEEDS, Comparison
from toolrl_cli.report.statistics.seeds import Sample, stratified_difference
from toolrl_cli.report.table_spec import TableSpec
from toolrl_cli.report.tables import build_table
from toolrl_cli.wording import listed


@dataclass(frozen=True)
class Step:
    """The comparison of one neighbouring pair in a claim's order.

    Attributes:
        comparison: by how much `better` is better over seeds, averaged over models and measures (`worse` - `better`
            where lower values are better); None if not possible.
        why: why there is no comparison.
        needed: seeds per arm that would decide it if the difference stays the same; None if unknown.
        strata: the two arms on each model, as compared.
        found: whether both have results on some model, even if too few.
        left_out: models and measures with results that are not in the comparison, each with the reason.
        lower: whether lower values are better.
    """

    better: str
    worse: str
    comparison: Comparison | None
    verdict: Verdict
    why: str
    needed: int | None
    found: bool
    left_out: tuple[str, ...] = ()
    strata: tuple[tuple[Sample, Sample], ...] = ()
    lower: bool = False

    @property
    def subtracted(self) -> str:
        """The comparison in words: positive where `better` is better."""
        first, second = (self.worse, self.better) if self.lower else (self.better, self.worse)
        return f"{first} - {second}"


@dataclass(frozen=True)
class ClaimResult:
    """The verdict of results on a claim.

    Attributes:
        on: benchmarks on which it was tested; empty without results.
        steps: one for each neighbouring pair of the order.
        verdict: of all steps together; undecided if a step has too few seeds.
        needed: seeds per arm that would decide all steps together if the differences stay the same; None if unknown.
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
        apart = not_comparable(self.better, self.worse)
        too_few = [c.n for c in (self.better, self.worse) if not c.sample.enough]
        return apart or (f"{min(too_few)} of at least {MIN_SEEDS} seeds" if too_few else "")


def judge_claims(
    claims: Sequence[ClaimSpec],
    sweeps: Sequence[Sweep],
    results: Path,
    validation: Validation,
    tables: Sequence[TableSpec] = (),
) -> list[ClaimResult]:
    """Judge all claims on the results and on the printed tables; `tables` as for `load_claims`."""
    ran = {e.benchmark for sweep in sweeps for run in sweep.runs for e in run.evaluations}
    judged = []
    for claim in claims:
        specs = [_narrowed(place, tables) for place in claim.measure]
        judged.append(_judge(claim, specs, ran, sweeps, results, validation))
    return judged


def _judge(
    claim: ClaimSpec,
    specs: Sequence[TableSpec],
    ran: set[str],
    sweeps: Sequence[Sweep],
    results: Path,
    validation: Validation,
) -> ClaimResult:
    head = head_of(specs[0].columns[0], specs[0])  # `load_claims` has seen that all are alike
    lower = head.direction == "lower"
    measured = [s for s in specs if s.benchmarks[0] in ran]
    rows = [found for spec in measured for found in _rows(spec, sweeps, results, validation)]
    steps = tuple(
        replace(_step(claim, better, worse, rows, head, [_measure(spec) for spec in specs]), lower=lower)
        for better, worse in zip(claim.order, claim.order[1:], strict=False)
    )
    printed, note = _on_paper(claim, specs, load_published("paper"), lower)
    verdict = _together(steps)
    compared = [(s.strata, s.comparison.difference) for s in steps if s.comparison is not None]
    whole = verdict == "undecided" and len(compared) == len(steps)
    return ClaimResult(
        spec=claim,
        on=", ".join(dict.fromkeys(s.benchmarks[0] for s in measured)),
        steps=steps,
        verdict=verdict,
        needed=claim_needs(claim, compared) if whole else None,
        printed=printed,
        printed_note=note,
    )


def _together(steps: Sequence[Step]) -> Verdict:
    verdicts = {s.verdict for s in steps}
    if "contradicted" in verdicts:
        return "contradicted"
    return "supported" if verdicts == {"supported"} else "undecided"


def _narrowed(place: str, tables: Sequence[TableSpec]) -> TableSpec:
    """The declaration reduced to one column, without tests."""
    table, column = place.rsplit("/", 1)
    spec = table_of(table, tables)
    kept = [c for c in spec.columns if c.name == column]
    return spec.model_copy(update={"columns": kept, "baseline": None, "primary": None})


def _rows(
    spec: TableSpec, sweeps: Sequence[Sweep], results: Path, validation: Validation
) -> Iterator[tuple[str, str, str, Cell]]:
    """Model, measure, row and cell of a table with one column; an arm of several names is a row under each."""
    measure = _measure(spec)
    rows = build_table(spec, sweeps, results, validation).rows
    own = {row.name for row in rows}
    for row in rows:
        for name in (row.name, *(other for other in row.aliases if other not in own)):
            yield row.group, measure, name, next(iter(row.cells.values()))


def _measure(narrowed: TableSpec) -> str:
    return f"{narrowed.name}/{narrowed.columns[0].name}"


def _step(
    claim: ClaimSpec,
    better: str,
    worse: str,
    rows: Sequence[tuple[str, str, str, Cell]],
    head: Head,
    measures: Sequence[str],
) -> Step:
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
    if head.direction == "lower":
        strata = [(b, a) for a, b in strata]
    comparison = stratified_difference(strata)
    if comparison is None:
        why = (
            "; ".join(dict.fromkeys(faults.values()))
            or "no seed changes them, and their items are not counted"
        )
        return Step(better, worse, None, "undecided", why, None, found=True)
    comparison = comparison.within(head.limit)
    verdict = claim.judge(comparison.low, comparison.high)
    needed = step_needs(claim, strata, comparison.difference) if verdict == "undecided" else None
    left_out = [f"{place.model} on {place.measure} ({fault})" for place, fault in faults.items()]
    left_out += _unmeasured(places, measures)
    return Step(better, worse, comparison, verdict, "", needed, True, tuple(left_out), tuple(strata))


def _unmeasured(places: Sequence[_Place], measures: Sequence[str]) -> list[str]:
    """Measures that only some models have, so that the models' differences are not of one and the same thing."""
    had = {(place.model, place.measure) for place in places}
    somewhere = [m for m in measures if any(measure == m for _, measure in had)]
    models = dict.fromkeys(place.model for place in places)
    return [f"{model} on {m} (no results)" for m in somewhere for model in models if (model, m) not in had]


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
    samples = [c.sample for c in cells]
    varying = [c for c, sample in zip(cells, samples, strict=True) if not sample.constant]
    same = math.fsum(c.values[0] for c, sample in zip(cells, samples, strict=True) if sample.constant)
    errors = [sample.item_error for sample in samples]
    known = [e for e in errors if e is not None]
    error = math.hypot(*known) / len(cells) if len(known) == len(cells) else None
    resolution = math.hypot(*(sample.resolution for sample in samples)) / len(cells)
    if not varying:
        return Sample((same / len(cells),), True, item_error=error, resolution=resolution)
    by_seed = [{seed: s.value for s in c.sources if s.value is not None for seed in s.seeds} for c in varying]
    seeds = tuple(sorted(set.intersection(*map(set, by_seed))))
    values = tuple((same + math.fsum(v[seed] for v in by_seed)) / len(cells) for seed in seeds)
    return Sample(values, seeds=seeds, item_error=error, resolution=resolution)


def _on_paper(
    claim: ClaimSpec, specs: Sequence[TableSpec], paper: Published, lower: bool
) -> tuple[Verdict | None, str]:
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
                difference = b.target - a.target if lower else a.target - b.target
                differences.append((f"{model} on {spec.benchmarks[0]}{pair}", difference))
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
        told += f", not for {listed(fails, 3, '; ')}"
    return verdict, told + spare
