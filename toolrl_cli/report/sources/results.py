"""The results of a sweep as typed frozen objects.

Nothing is dropped: a stage that was never started, is running, failed, was stopped, or has unreadable files is an
object with that status, which the tables show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from toolrl_cli.spec.evaluations.over_steps import point_of
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.store.scores import ITEMS, Score
from toolrl_cli.store.state import Status as LedgerStatus

Status = Literal[LedgerStatus, "unreadable"]
"""The ledger's words, and `unreadable` if the state file cannot be read."""


@dataclass(frozen=True)
class Stage:
    """One stage of the plan and its state.

    Attributes:
        spec: as planned.
        directory: `RESULTS/stages/<kind>/<id>`; need not exist.
        status: from `state.json`; `pending` if there is none.
        failure: failure class and message; empty unless failed.
        step, total: progress in steps, if known.
        problem: the fault of a file; empty unless `unreadable`.
    """

    spec: StageSpec
    directory: Path
    status: Status
    failure: tuple[str, str] = ("", "")
    step: int | None = None
    total: int | None = None
    problem: str = ""

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def kind(self) -> str:
        return self.spec.kind


@dataclass(frozen=True)
class Origin:
    """The checkpoint of an evaluated model.

    Attributes:
        trained: the training stage, or None for a model from outside.
        step: the checkpoint's training step, if known.
        rule: how the checkpoint was chosen: `last`, `best` (by validation), or empty if its step was named.
    """

    trained: Stage | None = None
    step: int | None = None
    rule: str = ""


@dataclass(frozen=True)
class Evaluation:
    """An `evaluate` stage of a run, with its scores if it has any.

    Attributes:
        stage: the stage.
        origin: the evaluated training stage and checkpoint.
        conditions: protocol, version, data, prompt format and sampling (see `CONDITIONS`), as text.
        metrics: name → score; empty unless the stage succeeded.
        problem: why a stage that succeeded has no usable scores.
        cut: category → answers that were cut at the limit, of how many.
    """

    stage: Stage
    benchmark: str
    origin: Origin
    conditions: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Score] = field(default_factory=dict)
    problem: str = ""
    cut: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @cached_property
    def items_path(self) -> Path | None:
        """Path of the per-item verdicts; None where there are none. Looked at once for all columns."""
        path = self.stage.directory / "output" / ITEMS
        return path if path.is_file() else None


@dataclass(frozen=True)
class Run:
    """One arm with one seed.

    Attributes:
        imported: the file it is from if it was not run here.
        parting: of an imported run, the settings that make it another arm than a run of the same name.
    """

    id: str
    sweep: str
    arm: str
    seed: int
    settings: Mapping[str, Any]
    stages: tuple[Stage, ...]
    evaluations: tuple[Evaluation, ...]
    imported: str = ""
    parting: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def pretraining(self) -> Stage | None:
        """The SFT stage that trained the tiny base model; it counts as part of the model, not of the training."""
        for stage in self.stages:
            model = stage.spec.config.get("model")
            tiny = isinstance(model, Mapping) and model.get("kind") == "tiny"
            if tiny and stage.kind == "sft" and not stage.spec.inputs:
                return stage
        return None

    @cached_property
    def training(self) -> tuple[Stage, ...]:
        """The run's own training stages in order; empty for a raw model."""
        return tuple(s for s in self.stages if trains(s.kind) and s is not self.pretraining)

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
        """A setting by its dotted key, from the configs of the run's stages; None if it is in none.

        `train` is `none`, `sft`, `rl` or `sft+rl`; `model` and `reward` are returned as configured.
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

    @cached_property
    def _specs(self) -> dict[str, StageSpec]:
        return {stage.id: stage.spec for stage in self.stages}

    def point(self, evaluation: Evaluation) -> int | None:
        """The step of RL that an evaluation is a point of the run's curve for; None for the run's own result."""
        return point_of(evaluation.stage.spec, self._specs)

    def waits_for(self, evaluation: Evaluation) -> Stage:
        """The stage that an evaluation waits for: its first unfinished input, or itself."""
        if evaluation.stage.status == "succeeded":
            return evaluation.stage
        return self.unfinished(evaluation) or evaluation.stage

    def unfinished(self, evaluation: Evaluation) -> Stage | None:
        """The first of an evaluation's inputs, or itself, that has not succeeded; None if all have."""
        by_id = {s.id: s for s in self.stages}
        needed: set[str] = set()
        frontier = [evaluation.stage.id]
        while frontier:
            found = by_id.get(frontier.pop())
            if found is not None and found.id not in needed:
                needed.add(found.id)
                frontier.extend(found.spec.inputs.values())
        return next((s for s in self.stages if s.id in needed and s.status != "succeeded"), None)


@dataclass(frozen=True)
class Sweep:
    """A sweep as planned, with the state of everything in it."""

    name: str
    runs: tuple[Run, ...]
    tables: tuple[str, ...]

    @cached_property
    def rehearsal(self) -> bool:
        """Whether it is the dress rehearsal of a sweep, whose numbers mean nothing."""
        return any(stage.spec.identity.get("rehearsal") for run in self.runs for stage in run.stages)


def short_name(value: Any) -> str:
    """The short name of a model or a reward: last part of a path, or the `name` of a mapping."""
    if isinstance(value, Mapping):
        value = value.get("name") or value.get("path") or value.get("kind") or ""
    return str(value if value is not None else "").rstrip("/").rsplit("/", 1)[-1]
