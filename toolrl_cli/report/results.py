"""What a sweep left on disk, as typed frozen objects.

Nothing is dropped: a stage that was never started, is running, failed, was stopped, or whose files cannot be
read is an object with that status, and it is for the tables to show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.report.disk import read_json
from toolrl_cli.report.scores import Score, read_scores, schema_fault
from toolrl_cli.spec.stage import TRAINING, StageSpec
from toolrl_cli.spec.suggest import hint_for

Status = Literal["pending", "queued", "running", "succeeded", "failed", "stopped", "unreadable"]
"""The ledger's words, and `unreadable` where a file does not say which of them."""

STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class Stage:
    """One stage of the plan and how far it got.

    Attributes:
        spec: as planned.
        directory: `RESULTS/stages/<kind>/<id>`; need not exist.
        status: what `state.json` says; `pending` where there is none.
        failure: failure class and message, empty unless failed.
        step, total: progress in steps, where it is known.
        attempts: executions so far.
        problem: what is wrong with a file, empty unless `unreadable`.
    """

    spec: StageSpec
    directory: Path
    status: Status
    failure: tuple[str, str] = ("", "")
    step: int | None = None
    total: int | None = None
    attempts: int = 0
    problem: str = ""

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def kind(self) -> str:
        return self.spec.kind


@dataclass(frozen=True)
class Origin:
    """The checkpoint behind an evaluated model.

    Attributes:
        trained: the training stage, or None for a model from outside.
        step: the checkpoint's training step, where known.
        rule: how the checkpoint was chosen: `last`, `best` (by validation), or empty where its step was named.
    """

    trained: Stage | None = None
    step: int | None = None
    rule: str = ""


@dataclass(frozen=True)
class Evaluation:
    """An `evaluate` stage of a run, with its scores where it has them.

    Attributes:
        stage: the stage.
        origin: which checkpoint of which training it asked.
        conditions: protocol, version, data, prompt format and sampling (see `CONDITIONS`), as text.
        metrics: name → score; empty unless the stage succeeded.
        problem: why a stage that succeeded has no usable scores.
    """

    stage: Stage
    benchmark: str
    origin: Origin
    conditions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Score] = field(default_factory=dict)
    problem: str = ""

    @property
    def items_path(self) -> Path:
        """Per-item verdicts."""
        return self.stage.directory / "output" / "items.jsonl"


@dataclass(frozen=True)
class Run:
    """One arm with one seed; `imported` names the file it comes from if it was not run here."""

    id: str
    sweep: str
    arm: str
    seed: int
    settings: Mapping[str, Any]
    stages: tuple[Stage, ...]
    evaluations: tuple[Evaluation, ...]
    imported: str = ""

    @cached_property
    def pretraining(self) -> Stage | None:
        """The SFT stage that gave the tiny model its rough ability: part of the model, not of training."""
        for stage in self.stages:
            model = stage.spec.config.get("model")
            tiny = isinstance(model, Mapping) and model.get("kind") == "tiny"
            if tiny and stage.kind == "sft" and not stage.spec.inputs:
                return stage
        return None

    @cached_property
    def training(self) -> tuple[Stage, ...]:
        """The run's own training stages in order; empty for a raw model."""
        return tuple(s for s in self.stages if s.kind in TRAINING and s is not self.pretraining)

    @cached_property
    def _view(self) -> dict[str, Any]:
        view: dict[str, Any] = dict(self.settings)
        first = [s for s in self.stages if s.kind == "evaluate"]
        for stage in (*first, *self.training):
            view.update(stage.spec.config)
        train = "+".join(s.kind for s in self.training) or "none"
        if self.imported:
            train = str(view.get("train", ""))
        return {**view, "train": train, "arm": self.arm, "seed": self.seed, "sweep": self.sweep}

    def lookup(self, key: str) -> Any:
        """A setting by its dotted key, from what the run's stages were given; None where nothing says it.

        `train` is `none`, `sft`, `rl` or `sft+rl`; `model` and `reward` come as they were configured.
        """
        if key in self._view:
            return self._view[key]
        if f"{key}.name" in self._view:
            return self._view[f"{key}.name"]
        node: Any = self._view
        for part in key.split("."):
            if not isinstance(node, Mapping) or part not in node:
                return None
            node = node[part]
        return node

    @property
    def model(self) -> str:
        """Short name of the model the run starts from, such as `qwen2.5-1.5b-instruct`; empty if unknown."""
        return short_name(self.lookup("model"))

    def waits_for(self, evaluation: Evaluation) -> Stage:
        """The stage that keeps an evaluation from having scores: the first unfinished on the way to it."""
        if evaluation.stage.status == "succeeded":
            return evaluation.stage
        by_id = {s.id: s for s in self.stages}
        needed: set[str] = set()
        frontier = [evaluation.stage.id]
        while frontier:
            found = by_id.get(frontier.pop())
            if found is not None and found.id not in needed:
                needed.add(found.id)
                frontier.extend(found.spec.inputs.values())
        on_the_way = [s for s in self.stages if s.id in needed and s.status != "succeeded"]
        return on_the_way[0] if on_the_way else evaluation.stage


@dataclass(frozen=True)
class Sweep:
    """A sweep as planned, with the state of everything in it."""

    name: str
    directory: Path
    runs: tuple[Run, ...]
    tables: tuple[str, ...]


def short_name(value: Any) -> str:
    """The name by which people call a model or a reward: last part of a path, or the `name` of a mapping."""
    if isinstance(value, Mapping):
        value = value.get("name") or value.get("path") or value.get("kind") or ""
    return str(value if value is not None else "").rstrip("/").rsplit("/", 1)[-1]


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
    directory = results / "sweeps" / name
    path = directory / "plan.json"
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
    return Sweep(name, directory, runs, tables)


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
        attempts=_whole(data.get("attempt")) or 0,
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
        if upstream.kind in TRAINING:
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
