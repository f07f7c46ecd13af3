"""Sweeps as they stand on disk: plan.json, and of each stage state.json and scores.json, read with doubt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.report.disk import read_json
from toolrl_cli.report.results import STATUSES, Evaluation, Origin, Run, Stage, Status, Sweep
from toolrl_cli.report.scores import read_scores, schema_fault
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.spec.suggest import hint_for


def list_sweeps(results: Path) -> list[str]:
    """Names of the sweeps under a results root, sorted; empty where there are none."""
    root = results / "sweeps"
    return sorted(p.parent.name for p in root.glob("*/plan.json")) if root.is_dir() else []


def read_sweep(results: Path, name: str) -> Sweep:
    """Read one sweep and the state of its stages.

    Raises:
        SpecError: there is no such sweep.
        LedgerError: its plan cannot be used.
    """
    path = results / "sweeps" / name / "plan.json"
    data, fault = read_json(path)
    if fault is not None:
        raise LedgerError(fault, str(path), "issue the sweep again to write the plan anew")
    if data is None:
        known = list_sweeps(results)
        hint = hint_for(name, known, "sweeps") if known else "run `toolrl sweep FILE` first"
        raise SpecError(f"no sweep {name!r}", str(results), hint)
    anew = "issue the sweep again to write the plan anew"
    fault = schema_fault(data, path.name)
    if fault:
        raise LedgerError(fault, str(path), anew)
    try:
        specs = [StageSpec.from_json(s) for s in data["stages"]]
        stages = {s.id: _read_stage(results, s) for s in specs}
        evaluations = {s.id: _read_evaluation(s, stages) for s in stages.values() if s.kind == "evaluate"}
        runs = tuple(
            Run(
                id=str(r["id"]),
                sweep=name,
                arm=str(r["arm"]),
                seed=int(r["seed"]),
                settings=dict(r["settings"]),
                stages=tuple(stages[i] for i in r["stages"]),
                evaluations=tuple(evaluations[i] for i in r["stages"] if i in evaluations),
            )
            for r in data["runs"]
        )
        tables = tuple(str(t) for t in _list(data.get("tables") or []))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"plan.json does not hold a plan ({type(error).__name__}: {error})"
        raise LedgerError(what, str(path), anew) from None
    twin = _twin(runs)
    if twin:
        raise LedgerError(f"plan.json has {twin} twice", str(path), anew)
    return Sweep(name, runs, tables)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


def _twin(runs: tuple[Run, ...]) -> str:
    """A run that would enter a mean twice, in words; empty where there is none."""
    seen: set[tuple[str, int]] = set()
    for run in runs:
        if (run.arm, run.seed) in seen:
            return f"arm {run.arm!r} with seed {run.seed}"
        seen.add((run.arm, run.seed))
    return ""


def _read_stage(results: Path, spec: StageSpec) -> Stage:
    directory = results / "stages" / spec.kind / spec.id
    data, fault = read_json(directory / "state.json")
    if data is None:
        status: Status = "unreadable" if fault else "pending"
        return Stage(spec, directory, status, total=spec.total_steps, problem=fault or "")
    status = data.get("status") if isinstance(data, dict) else None  # type: ignore[assignment]
    problem = "state.json has no known status" if status not in STATUSES else schema_fault(data, "state.json")
    if problem:
        return Stage(spec, directory, "unreadable", total=spec.total_steps, problem=problem)
    failure, progress = data.get("failure"), data.get("progress")
    failure = failure if isinstance(failure, dict) else {}
    progress = progress if isinstance(progress, dict) else {}
    known = (str(failure.get("class") or "unknown"), str(failure.get("message") or ""))
    return Stage(
        spec,
        directory,
        status,
        failure=known if status == "failed" else ("", ""),
        step=_whole(progress.get("step")),
        total=_whole(progress.get("total")) or spec.total_steps,
    )


def _read_evaluation(stage: Stage, stages: Mapping[str, Stage]) -> Evaluation:
    benchmark = str(stage.spec.config.get("benchmark") or stage.spec.identity.get("benchmark") or "")
    origin = origin_of(stage, stages)
    if stage.status != "succeeded":
        return Evaluation(stage, benchmark, origin)
    scores = read_scores(stage.directory / "output" / "scores.json", benchmark)
    return Evaluation(stage, benchmark, origin, scores.conditions, scores.metrics, scores.problem)


def origin_of(stage: Stage, stages: Mapping[str, Stage]) -> Origin:
    """The training stage behind an evaluated model, and which of its checkpoints.

    An export on the way says it in its identity: `checkpoint: last`, `best`, or a step. Of the best one, only its
    `output/checkpoint.json` knows the step.
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
            step = step if step is not None else _whole(value)
        stage = upstream
    return Origin(None, step, rule)


def _exported_step(export: Stage) -> Any:
    content, _ = read_json(export.directory / "output" / "checkpoint.json")
    return content.get("step") if isinstance(content, dict) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
