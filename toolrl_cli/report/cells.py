"""One cell: from the evaluations of an arm to a mean over seeds, or to the reason why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from toolrl_cli.report.arms import Arm
from toolrl_cli.report.checkpoints import Validation, checkpoint_of, choose, rule_in_words
from toolrl_cli.report.model import Cell, Head, Source, rounded
from toolrl_cli.report.results import Evaluation, Run, Stage
from toolrl_cli.report.scores import Score
from toolrl_cli.report.statistics import seed_mean, wilson
from toolrl_cli.report.table_spec import Checkpoint, ColumnSpec, TableSpec
from toolrl_cli.spec.benchmarks import why_not_run
from toolrl_cli.spec.stage import TRAINING

ABSENT = "–"
NOISE = 10
"""Decimals of a percentage that can mean anything; beyond them is what 100 × 0.58 leaves in binary."""

COUNTS_TOLERANCE = 1e-3
"""By how much a share may differ from its counts: somebody may have rounded it."""

NOT_RUN = "not run yet"
_SEVERITY = ("mixed", "failed", "unreadable", "n/a", "stopped", "running", "queued", ABSENT)


def head_of(column: ColumnSpec, spec: TableSpec) -> Head:
    """A column with the table's defaults filled in."""
    precision = spec.precision if column.precision is None else column.precision
    direction = column.direction if column.direction is not None else spec.direction
    return Head(column.name, column.label, precision, direction, column.unit)


def fill(arm: Arm | None, column: ColumnSpec, spec: TableSpec, results: Path, validation: Validation) -> Cell:
    """The cell of an arm under a column; best, second, star and published numbers are added later."""
    if arm is None:
        return Cell(note="not in these sweeps")
    benchmark = column.benchmark or spec.benchmark
    chosen: dict[str, list[tuple[Run, Evaluation]]] = {}
    for run in arm.runs:
        evaluation = choose(run, benchmark, spec.checkpoint, validation)
        if evaluation is not None:
            chosen.setdefault(evaluation.stage.id, []).append((run, evaluation))
    if not chosen:
        return Cell(note=_why_none(arm, benchmark, spec.checkpoint))
    sources, messages, samplings = [], [], []
    conditions: dict[str, set[str]] = {}
    for shared in chosen.values():
        run, evaluation = shared[0]
        source, message, sampling = _read(run, evaluation, column, results)
        runs = tuple(dict.fromkeys(r.id for r, _ in shared))  # two sweeps may have the same run
        sources.append(replace(source, runs=runs, seeds=tuple(sorted({r.seed for r, _ in shared}))))
        if message:
            messages.append(message)
        if source.value is not None:
            for key, value in evaluation.conditions.items():
                conditions.setdefault(key, set()).add(value)
            samplings.append(sampling)
    mixed = {key: values for key, values in conditions.items() if len(values) > 1}
    if mixed:
        told = "; ".join(f"{key}: {either(v)}" for key, v in sorted(mixed.items()))
        cell = Cell(planned=len(sources), state="mixed", note=f"seeds scored differently ({told})")
        return replace(cell, sources=tuple(sources))
    cell = _mean(sources, messages, head_of(column, spec))
    imported = sorted({run.imported for shared in chosen.values() for run, _ in shared if run.imported})
    if imported:
        told = f"imported from {', '.join(imported)}"
        cell = replace(cell, note=f"{told}; {cell.note}" if cell.note else told)
    known = [s for s in samplings if s is not None]
    agreed = {key: next(iter(values)) for key, values in conditions.items()}
    return replace(cell, sampling=max(known) if known else None, conditions=agreed)


def either(values: Iterable[str]) -> str:
    """Conditions that differ, in words."""
    return " / ".join(value or "not said" for value in sorted(values))


def scored_apart(a: Cell, b: Cell) -> str:
    """Why two cells may not be compared: what differs in how they were scored; empty where they may."""
    differing = [k for k in a.conditions if k in b.conditions and a.conditions[k] != b.conditions[k]]
    return f"scored differently ({', '.join(differing)})" if differing else ""


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
    shared = [len(s.seeds) for s in sources if len(s.seeds) > 1]
    if shared:
        notes.append(f"{max(shared)} seeds share one evaluation: nothing in it depends on the seed")
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


def _why_none(arm: Arm, benchmark: str, rule: Checkpoint) -> str:
    if any(e.benchmark == benchmark for run in arm.runs for e in run.evaluations):
        return f"{rule_in_words(rule)} was not evaluated"
    return f"not evaluated on {benchmark}"


def _read(
    run: Run, evaluation: Evaluation, column: ColumnSpec, results: Path
) -> tuple[Source, str, float | None]:
    """The source of one value, the reason where there is none, and the value's sampling error."""
    items = evaluation.items_path
    origin = evaluation.origin
    source = Source(
        runs=(run.id,),
        seeds=(run.seed,),
        stage=evaluation.stage.id,
        trained=origin.trained.id if origin.trained else None,
        step=origin.step,
        items=items.relative_to(results).as_posix() if items.is_file() else "",
        value=None,
        checkpoint=checkpoint_of(run, origin),
    )
    if evaluation.stage.status != "succeeded" or evaluation.problem:
        state, message = _waiting(run.waits_for(evaluation), evaluation)
        return replace(source, state=state), message, None
    score = evaluation.metrics.get(column.metric or column.name)
    if score is None:
        why = "not in the import" if run.imported else f"scores.json has no {column.metric or column.name!r}"
        return replace(source, state="n/a"), why, None
    if score.value is None:
        return replace(source, state="n/a"), f"n/a: {score.why}", None
    if column.unit == "percent":
        fault = _share_fault(score)
        if fault:
            return replace(source, state="unreadable"), f"unreadable: {fault}", None
        sampling = None
        if score.correct is not None and score.total:
            low, high = wilson(score.correct, score.total)
            sampling = 50 * (high - low)
        return replace(source, value=round(100 * score.value, NOISE)), "", sampling
    return replace(source, value=score.value), "", None


def _share_fault(score: Score) -> str:
    """Why a score is no share of its items, or nothing."""
    value, correct, total = score.value or 0.0, score.correct, score.total
    if not 0 <= value <= 1:
        return f"{value} is no share"
    if correct is None or total is None:
        return ""
    if not 0 <= correct <= total:
        return f"{correct} of {total} is no share"
    if total == 0:
        return "a share of no items"
    return f"{value} is not {correct} of {total}" if abs(value - correct / total) > COUNTS_TOLERANCE else ""


def _waiting(stage: Stage, evaluation: Evaluation) -> tuple[str, str]:
    """What stands in a cell that waits for `stage`, and the words of its note."""
    problem = evaluation.problem
    if problem or stage.problem:
        return "unreadable", f"unreadable: {problem or stage.problem}"
    if stage.status == "failed":
        failure, message = stage.failure
        first = message.strip().splitlines()[0] if message.strip() else ""
        return f"failed: {failure}", f"failed: {failure}" + (f" ({_short(first)})" if first else "")
    if stage.status == "pending":
        return ABSENT, _blocked(evaluation) or NOT_RUN
    steps = f" {stage.step}/{stage.total}" if stage.step is not None and stage.total else ""
    if stage.kind not in TRAINING or not steps:
        steps = f" {stage.kind}" if stage.status == "running" else ""
    return f"{stage.status}{steps}", f"{stage.status}{steps}"


def _blocked(evaluation: Evaluation) -> str:
    """Why an evaluation that is planned cannot be run, or nothing."""
    told = why_not_run(evaluation.benchmark)
    return f"missing: {told}" if told else ""


def _severity(state: str) -> int:
    return next(i for i, word in enumerate(_SEVERITY) if state.startswith(word))


def _short(text: str, limit: int = 100) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
