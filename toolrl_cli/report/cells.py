"""One cell: from the evaluations of an arm to a mean over seeds, or to the reason why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from toolrl_cli.report.arms import Arm
from toolrl_cli.report.model import Cell, Head, Source, rounded
from toolrl_cli.report.results import TRAINING, Evaluation, Run, Stage
from toolrl_cli.report.statistics import seed_mean, wilson
from toolrl_cli.report.table_spec import BestRule, ColumnSpec, StepRule, TableSpec

Validation = Callable[[Stage, str], Mapping[int, float]]
"""Training stage and metric → its value by step."""

ABSENT = "–"
NOISE = 10
"""Decimals of a percentage that can mean anything; beyond them is what 100 × 0.58 leaves in binary."""

NOT_RUN = "not run yet"
_SEVERITY = ("mixed", "failed", "unreadable", "n/a", "stopped", "running", "queued", ABSENT)


@dataclass(frozen=True)
class Filled:
    """A cell, and under which conditions its values were scored (see `results.CONDITIONS`)."""

    cell: Cell
    conditions: Mapping[str, str]


def head_of(column: ColumnSpec, spec: TableSpec) -> Head:
    """A column with the table's defaults filled in."""
    precision = spec.precision if column.precision is None else column.precision
    direction = column.direction if column.direction is not None else spec.direction
    return Head(column.name, column.label, precision, direction, column.unit)


def fill(
    arm: Arm | None, column: ColumnSpec, spec: TableSpec, results: Path, validation: Validation
) -> Filled:
    """The cell of an arm under a column; best, second, star and published numbers are added later."""
    if arm is None:
        return Filled(Cell(note="not in these sweeps"), {})
    benchmark = column.benchmark or spec.benchmark
    chosen: dict[str, list[tuple[Run, Evaluation]]] = {}
    for run in arm.runs:
        evaluation = _by_rule(run, benchmark, spec, validation)
        if evaluation is not None:
            chosen.setdefault(evaluation.stage.id, []).append((run, evaluation))
    if not chosen:
        return Filled(Cell(note=_why_none(arm, benchmark, spec)), {})
    sources, messages, samplings = [], [], []
    conditions: dict[str, set[str]] = {}
    for shared in chosen.values():
        run, evaluation = shared[0]
        source, message, sampling = _read(run, evaluation, column, results)
        runs = tuple(r.id for r, _ in shared)
        sources.append(replace(source, runs=runs, seeds=tuple(sorted({r.seed for r, _ in shared}))))
        if message:
            messages.append(message)
        if source.value is not None:
            for key, value in evaluation.conditions.items():
                conditions.setdefault(key, set()).add(value)
            samplings.append(sampling)
    mixed = {key: values for key, values in conditions.items() if len(values) > 1}
    if mixed:
        told = "; ".join(f"{key}: {' / '.join(sorted(v))}" for key, v in sorted(mixed.items()))
        cell = Cell(planned=len(sources), state="mixed", note=f"seeds scored differently ({told})")
        return Filled(replace(cell, sources=tuple(sources)), {})
    cell = _mean(sources, messages, head_of(column, spec))
    imported = sorted({run.imported for shared in chosen.values() for run, _ in shared if run.imported})
    if imported:
        told = f"imported from {', '.join(imported)}"
        cell = replace(cell, note=f"{told}; {cell.note}" if cell.note else told)
    known = [s for s in samplings if s is not None]
    cell = replace(cell, sampling=max(known) if known else None)
    return Filled(cell, {key: next(iter(values)) for key, values in conditions.items()})


def _mean(sources: list[Source], messages: list[str], head: Head) -> Cell:
    values = tuple(s.value for s in sources if s.value is not None)
    planned = len(sources)
    notes = []
    if len(values) < planned:
        counts = Counter(messages)
        if planned > 1:
            told = ", ".join(f"{n} {text}" for text, n in counts.items())
            notes.append(f"{len(values)} of {planned}: {told}")
        elif messages != [sources[0].state]:
            notes += messages
    shared = [len(s.runs) for s in sources if len(s.runs) > 1]
    if shared:
        notes.append(f"{max(shared)} runs share one evaluation: nothing in it depends on the seed")
    note = "; ".join(notes)
    if not values:
        worst = min((s.state for s in sources), key=_severity)
        return Cell(planned=planned, state=worst, note=note, sources=tuple(sources))
    seeds = seed_mean(values)
    return Cell(
        mean=rounded(seeds.mean, head.precision),
        ci=None if seeds.half_width is None else rounded(seeds.half_width, head.precision),
        n=len(values),
        planned=planned,
        state="",
        note=note,
        values=values,
        sources=tuple(sources),
    )


def _by_rule(run: Run, benchmark: str, spec: TableSpec, validation: Validation) -> Evaluation | None:
    found = [e for e in run.evaluations if e.benchmark == benchmark]
    rule = spec.checkpoint
    if isinstance(rule, StepRule):
        return next((e for e in found if e.trained is None or e.step == rule.step), None)
    if len(found) < 2:
        return found[0] if found else None
    if isinstance(rule, BestRule):
        sign = 1 if rule.direction == "higher" else -1
        judged = []
        for evaluation in found:
            curve = validation(evaluation.trained, rule.best) if evaluation.trained else {}
            step = evaluation.step
            if step is not None and step in curve:
                judged.append((sign * curve[step], -step, evaluation))
        if judged:
            # Of equally good checkpoints the earlier one: it cost less.
            return max(judged, key=lambda j: j[:2])[2]
    return max(found, key=lambda e: e.step if e.step is not None else -1)


def _why_none(arm: Arm, benchmark: str, spec: TableSpec) -> str:
    if any(e.benchmark == benchmark for run in arm.runs for e in run.evaluations):
        step = spec.checkpoint.step if isinstance(spec.checkpoint, StepRule) else "?"
        return f"no checkpoint of step {step} was evaluated"
    return f"not evaluated on {benchmark}"


def _read(
    run: Run, evaluation: Evaluation, column: ColumnSpec, results: Path
) -> tuple[Source, str, float | None]:
    """The source of one value, the reason where there is none, and the value's sampling error."""
    items = evaluation.items_path
    trained = evaluation.trained.id if evaluation.trained else None
    at = items.relative_to(results).as_posix() if items.is_file() else ""
    source = Source((run.id,), (run.seed,), evaluation.stage.id, trained, evaluation.step, at, None)
    if evaluation.stage.status != "succeeded" or evaluation.problem:
        state, message = _waiting(run.waits_for(evaluation), evaluation.problem)
        return replace(source, state=state), message, None
    score = evaluation.metrics.get(column.metric or column.name)
    if score is None:
        return replace(source, state="n/a"), f"scores.json has no {column.metric or column.name!r}", None
    if score.value is None:
        return replace(source, state="n/a"), f"n/a: {score.why}", None
    if column.unit == "percent":
        if not 0 <= score.value <= 1:
            return replace(source, state="unreadable"), f"unreadable: {score.value} is no share", None
        sampling = None
        if score.correct is not None and score.total:
            low, high = wilson(score.correct, score.total)
            sampling = 50 * (high - low)
        return replace(source, value=round(100 * score.value, NOISE)), "", sampling
    return replace(source, value=score.value), "", None


def _waiting(stage: Stage, problem: str) -> tuple[str, str]:
    """What stands in a cell that waits for `stage`, and the words of its note."""
    if problem or stage.problem:
        return "unreadable", f"unreadable: {problem or stage.problem}"
    if stage.status == "failed":
        failure, message = stage.failure
        first = message.strip().splitlines()[0] if message.strip() else ""
        return f"failed: {failure}", f"failed: {failure}" + (f" ({_short(first)})" if first else "")
    if stage.status == "pending":
        return ABSENT, NOT_RUN
    steps = f" {stage.step}/{stage.total}" if stage.step is not None and stage.total else ""
    if stage.kind not in TRAINING or not steps:
        steps = f" {stage.kind}" if stage.status == "running" else ""
    return f"{stage.status}{steps}", f"{stage.status}{steps}"


def _severity(state: str) -> int:
    return next(i for i, word in enumerate(_SEVERITY) if state.startswith(word))


def _short(text: str, limit: int = 100) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
