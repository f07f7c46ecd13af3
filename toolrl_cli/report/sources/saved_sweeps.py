"""Reads sweeps and the state of their stages, through the store, into objects of the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.report.sources.results import Evaluation, Origin, Run, Stage, Sweep
from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS, OVERALL, Benchmark, is_evaluation
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.store.documents import fault_of
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.liveness import observed
from toolrl_cli.store.schemas import CHECKPOINT, PLAN, SCORES
from toolrl_cli.store.scores import Score, read_scores, whole_number
from toolrl_cli.store.sweep_folder import SweepFolder, saved_names


def list_sweeps(results: Path) -> list[str]:
    """Names of the sweeps under a results root, sorted."""
    return sorted(saved_names(results))


def read_sweep(results: Path, name: str) -> Sweep:
    """Read one sweep and the state of its stages.

    Raises:
        SpecError: the sweep does not exist.
        LedgerError: its plan cannot be used.
    """
    folder, ledger = SweepFolder(results, name), Ledger(results)
    saved = folder.load()
    stages = {stage_id: _read_stage(ledger, spec) for stage_id, spec in saved.stages.items()}
    evaluations = {s.id: _read_evaluation(s, stages) for s in stages.values() if is_evaluation(s.spec)}
    runs = tuple(
        Run(
            id=run.id,
            sweep=name,
            arm=run.arm,
            seed=run.seed,
            settings=run.settings,
            stages=tuple(stages[stage.id] for stage in run.stages),
            evaluations=tuple(evaluations[s.id] for s in run.stages if s.id in evaluations),
        )
        for run in saved.runs
    )
    twin = _twin(runs)
    if twin:
        anew = "issue the sweep again to write the plan anew"
        raise LedgerError(f"plan.json has {twin} twice", str(folder.path / PLAN.name), anew)
    return Sweep(name, runs, saved.tables)


def _twin(runs: tuple[Run, ...]) -> str:
    """A run that would count twice in a mean, in words; empty if there is none."""
    seen: set[tuple[str, int]] = set()
    for run in runs:
        if (run.arm, run.seed) in seen:
            return f"arm {run.arm!r} with seed {run.seed}"
        seen.add((run.arm, run.seed))
    return ""


def _read_stage(ledger: Ledger, spec: StageSpec) -> Stage:
    """The state of a stage as in `toolrl status`: one whose attempt is known dead has failed, whatever it wrote."""
    folder = ledger.folder(spec)
    try:
        state = observed(folder)
    except LedgerError as error:
        return Stage(spec, folder.path, "unreadable", total=spec.total_steps, problem=fault_of(error))
    if state.fault:
        return Stage(spec, folder.path, "unreadable", total=spec.total_steps, problem=state.fault)
    failure = (state.failure.kind, state.failure.message) if state.failure else ("unknown", "")
    progress = state.progress
    return Stage(
        spec,
        folder.path,
        state.status,
        failure=failure if state.status == "failed" else ("", ""),
        step=progress.step if progress else None,
        total=(progress.total if progress else None) or spec.total_steps,
    )


def _read_evaluation(stage: Stage, stages: Mapping[str, Stage]) -> Evaluation:
    benchmark = str(stage.spec.config["benchmark"])
    origin = origin_of(stage, stages)
    if stage.status != "succeeded":
        return Evaluation(stage, benchmark, origin)
    scores = read_scores(stage.directory / "output" / SCORES.name, benchmark)
    problem = scores.problem or _parts_fault(benchmark, scores.metrics)
    metrics = {} if problem else scores.metrics
    return Evaluation(stage, benchmark, origin, scores.conditions, metrics, problem, scores.cut)


def _parts_fault(name: str, metrics: Mapping[str, Score]) -> str:
    """Why a benchmark's categories cannot make up its overall score; empty where they can, or it is no sum of them."""
    whole = metrics.get(OVERALL)
    # asked first: to load a benchmark takes longer than to read its scores
    if whole is None or whole.correct is None or whole.total is None or name not in BENCHMARKS:
        return ""
    benchmark = BENCHMARKS.get(name)
    parts = [metrics.get(category) for category in benchmark.categories if category != OVERALL]
    if type(benchmark).metrics is not Benchmark.metrics or not parts:
        return ""
    counts = [(part.correct, part.total) for part in parts if part is not None and part.total is not None]
    if len(counts) != len(parts):
        return ""
    right, total = (sum(column) for column in zip(*((c or 0, t) for c, t in counts), strict=True))
    if (whole.correct, whole.total) == (right, total) or not 0 <= whole.correct <= whole.total:
        return ""  # a share that is none in itself is the fault of that one cell
    told = f"scores.json has {whole.correct} of {whole.total} right overall"
    return f"{told}, and its categories sum up to {right} of {total}"


def origin_of(stage: Stage, stages: Mapping[str, Stage]) -> Origin:
    """The training stage of an evaluated model, and its checkpoint.

    An export between the two has the rule in its identity: `checkpoint: last`, `best`, or a step. For `best`, only its
    `output/checkpoint.json` has the step.
    """
    step: int | None = None
    rule = ""
    seen: set[str] = set()
    while stage.spec.inputs and stage.id not in seen:
        seen.add(stage.id)
        upstream = next((stages[i] for i in stage.spec.inputs.values() if i in stages), None)
        if upstream is None:
            return Origin(None, step, rule)
        if trains(upstream.kind):
            rule = rule or ("last" if step is None else "")
            last = (upstream.total or upstream.step) if rule == "last" else None
            return Origin(upstream, step if step is not None else last, rule)
        named = upstream.spec.identity.get("checkpoint")
        rule = named if named in ("last", "best") and not rule else rule
        for value in (upstream.spec.identity.get("step"), named, _exported_step(upstream)):
            step = step if step is not None else whole_number(value)
        stage = upstream
    return Origin(None, step, rule)


def _exported_step(export: Stage) -> Any:
    try:
        return (CHECKPOINT.load(export.directory / "output" / CHECKPOINT.name) or {}).get("step")
    except LedgerError:
        return None
