"""Computes one cell: the mean over seeds of an arm's evaluations, or the reason why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolrl_cli.report.arms import Arm
from toolrl_cli.report.comparability import MIXED, apart
from toolrl_cli.report.model import Cell, Head, Source, rounded
from toolrl_cli.report.sources.chosen_evaluation import Validation, checkpoint_of, choose, rule_in_words
from toolrl_cli.report.sources.results import Evaluation, Run, Stage
from toolrl_cli.report.statistics.items import wilson, wilson_error
from toolrl_cli.report.statistics.seeds import seed_mean
from toolrl_cli.report.table_spec import BestRule, Checkpoint, ColumnSpec, TableSpec
from toolrl_cli.report.units import fault_of
from toolrl_cli.spec.evaluations.benchmarks import why_not_run
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.wording import cut

ABSENT = "–"
NOISE = 10
"""Significant decimals of a percentage; later ones are rounding errors, as in 100 × 0.58."""

NOT_RUN = "not run yet"
_SEVERITY = (MIXED, "failed", "unreadable", "n/a", "stopped", "running", "queued", ABSENT)


def head_of(column: ColumnSpec, spec: TableSpec) -> Head:
    """A column with the table's defaults filled in."""
    precision = spec.precision if column.precision is None else column.precision
    direction = column.direction if column.direction is not None else spec.direction
    benchmark = column.benchmark or spec.benchmark
    return Head(column.name, column.label, precision, direction, column.unit, benchmark)


def fill(arm: Arm | None, column: ColumnSpec, spec: TableSpec, results: Path, validation: Validation) -> Cell:
    """The cell of an arm in a column, without best, second, star and published numbers, which are added later."""
    if arm is None:
        return Cell(notes=("not in these sweeps",))
    benchmark = column.benchmark or spec.benchmark
    chosen: dict[str, list[tuple[Run, Evaluation]]] = {}
    for run in arm.runs:
        evaluation = choose(run, benchmark, spec.checkpoint, validation)
        if evaluation is not None:
            chosen.setdefault(evaluation.stage.id, []).append((run, evaluation))
    if not chosen:
        return Cell(notes=(_why_none(arm, benchmark, spec.checkpoint),))
    readings = []
    conditions = []
    for shared in chosen.values():
        run, evaluation = shared[0]
        reading = _read(run, evaluation, column, results)
        runs = tuple(dict.fromkeys(r.id for r, _ in shared))  # two sweeps may share a run
        seeds = tuple(sorted({r.seed for r, _ in shared}))
        readings.append(replace(reading, source=replace(reading.source, runs=runs, seeds=seeds)))
        if reading.source.value is not None:
            conditions.append(evaluation.conditions)
    told = apart(conditions)
    if told:
        sources = tuple(r.source for r in readings)
        notes = (f"seeds scored differently ({told})",)
        return Cell(planned=len(sources), state=MIXED, notes=notes, sources=sources)
    cell = _mean(readings, head_of(column, spec))
    imported = sorted({run.imported for shared in chosen.values() for run, _ in shared if run.imported})
    if imported:
        cell = replace(cell, notes=(f"imported from {', '.join(imported)}", *cell.notes))
    doubts = [
        f"the {stage.kind} stage behind {run.id} is {stage.status}"
        + (f" ({why})" if (why := stage.problem) else "")
        for shared in chosen.values()
        for run, evaluation in shared[:1]
        if evaluation.stage.status == "succeeded" and (stage := run.unfinished(evaluation)) is not None
    ]
    doubts += dict.fromkeys(
        told
        for shared in chosen.values()
        for run, evaluation in shared[:1]
        if (told := _told_cut(run, evaluation))
    )
    agreed = {key: value for known in conditions for key, value in known.items()}
    return replace(cell, conditions=agreed, notes=(*cell.notes, *doubts))


def _told_cut(run: Run, evaluation: Evaluation) -> str:
    """How many answers were cut at the limit, which are judged as they are; empty where none was."""
    if not evaluation.cut:
        return ""
    each = ", ".join(f"{name} {cut} of {total}" for name, (cut, total) in evaluation.cut.items())
    return f"{run.id}: answers cut at the limit: {each} (raise evaluation.max_response_length)"


@dataclass(frozen=True)
class _Reading:
    """One value of a cell, or the reason why there is none.

    Attributes:
        waits: why its evaluation has no scores; the same for all columns of the benchmark.
        lacks: why its scores have no value in this column.
        sampling: half-width of the 95 % Wilson interval; None if the metric is not a share of counted items.
        total: number of those items.
    """

    source: Source
    waits: str = ""
    lacks: str = ""
    sampling: float | None = None
    total: int | None = None


def _mean(readings: Sequence[_Reading], head: Head) -> Cell:
    sources = tuple(r.source for r in readings)
    values = tuple(s.value for s in sources if s.value is not None)
    counted = [(r.sampling, r.total) for r in readings if r.sampling is not None and r.total]
    whole = len(counted) == len(values)
    sampling = max(half for half, _ in counted) if counted and whole else None
    notes = _what_is_missing(readings)
    shared = max(len(s.seeds) for s in sources)
    if shared > 1:
        notes.append(f"{shared} seeds share one evaluation: nothing in it depends on the seed")
    if not values:
        worst = min((s.state for s in sources), key=_severity)
        return Cell(planned=len(sources), state=worst, notes=tuple(notes), sources=sources)
    seeds = seed_mean(values, item_error=None if sampling is None else wilson_error(sampling))
    half = seeds.half_width
    low, high = (None, None) if half is None else head.ends(seeds.mean - half, seeds.mean + half, min(values))
    return Cell(
        mean=rounded(seeds.mean, head.precision),
        ci=None if half is None else rounded(half, head.precision),
        low=low,
        high=high,
        with_items=None if seeds.with_items is None else rounded(seeds.with_items, head.precision),
        resolution=100 / min(total for _, total in counted) if whole and counted else 10.0**-head.precision,
        n=len(values),
        planned=len(sources),
        state="",
        notes=tuple(notes),
        sampling=sampling,
        values=values,
        sources=sources,
    )


def _what_is_missing(readings: Sequence[_Reading]) -> list[str]:
    """Notes on why evaluations have no scores, and on why scores have no value in this column.

    They are separate because the first is the same in all columns, and equal notes are printed once.
    """
    waits, lacks = [r.waits for r in readings if r.waits], [r.lacks for r in readings if r.lacks]
    evaluated = len(readings) - len(waits)
    if waits and len(readings) == 1:
        return [why for why in waits if why != readings[0].source.state]
    notes = [_counted(evaluated, len(readings), waits)] if waits else []
    if len(lacks) == evaluated and len(set(lacks)) == 1:
        return [*notes, lacks[0]]
    return [*notes, _counted(evaluated - len(lacks), evaluated, lacks)] if lacks else notes


def _counted(there: int, planned: int, missing: Sequence[str]) -> str:
    told = ", ".join(f"{n} {text}" for text, n in Counter(missing).items())
    return f"{there} of {planned}: {told}"


def _why_none(arm: Arm, benchmark: str, rule: Checkpoint) -> str:
    if any(e.benchmark == benchmark for run in arm.runs for e in run.evaluations):
        if isinstance(rule, BestRule):
            return f"none of the evaluated checkpoints has {rule.best}"
        return f"{rule_in_words(rule)} was not evaluated"
    return f"not evaluated on {benchmark}"


def _read(run: Run, evaluation: Evaluation, column: ColumnSpec, results: Path) -> _Reading:
    items = evaluation.items_path
    origin = evaluation.origin
    source = Source(
        runs=(run.id,),
        seeds=(run.seed,),
        stage=evaluation.stage.id,
        trained=origin.trained.id if origin.trained else None,
        step=origin.step,
        items="" if items is None else items.relative_to(results).as_posix(),
        value=None,
        checkpoint=checkpoint_of(run, origin),
    )
    if evaluation.stage.status != "succeeded" or evaluation.problem:
        state, message = _waiting(run.waits_for(evaluation), evaluation)
        return _Reading(replace(source, state=state), waits=message)
    score = evaluation.metrics.get(column.metric or column.name)
    if score is None:
        why = "not in the import" if run.imported else f"scores.json has no {column.metric or column.name!r}"
        return _Reading(replace(source, state="n/a"), lacks=why)
    fault = fault_of(score, column.unit)
    if fault:
        return _Reading(replace(source, state="unreadable"), lacks=f"unreadable: {fault}")
    if score.value is None:
        return _Reading(replace(source, state="n/a"), lacks=f"n/a: {score.why}")
    if column.unit == "count":
        return _Reading(replace(source, value=score.value))
    found = _Reading(replace(source, value=round(100 * score.value, NOISE)))
    if score.correct is None or not score.total:
        return found
    low, high = wilson(score.correct, score.total)
    return replace(found, sampling=50 * (high - low), total=score.total)


def _waiting(stage: Stage, evaluation: Evaluation) -> tuple[str, str]:
    """The state of a cell that waits for `stage`, and its note."""
    problem = evaluation.problem
    if problem or stage.problem:
        return "unreadable", f"unreadable: {problem or stage.problem}"
    if stage.status == "failed":
        failure, message = stage.failure
        first = message.strip().splitlines()[0] if message.strip() else ""
        return f"failed: {failure}", f"failed: {failure}" + (f" ({cut(first, 100)})" if first else "")
    if stage.status == "pending":
        return ABSENT, _blocked(evaluation) or NOT_RUN
    steps = f" {stage.step}/{stage.total}" if stage.step is not None and stage.total else ""
    if not trains(stage.kind) or not steps:
        steps = f" {stage.kind}" if stage.status == "running" else ""
    return f"{stage.status}{steps}", f"{stage.status}{steps}"


def _blocked(evaluation: Evaluation) -> str:
    """Why a planned evaluation cannot be run; empty if it can."""
    told = why_not_run(evaluation.benchmark)
    return f"missing: {told}" if told else ""


def _severity(state: str) -> int:
    return next(i for i, word in enumerate(_SEVERITY) if state.startswith(word))
