"""Result trees as the engine leaves them: complete, half done, failed, running or torn."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.configs import whole_config
from tests.support.results_tree import leave, write_stage
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.identity import stage_id
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.failures import Failure, FailureClass
from toolrl_cli.store.jsonl import read_jsonl
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.schemas import SCORES
from toolrl_cli.store.scores import ITEMS, write_scores
from toolrl_cli.store.state import Progress, StageState, Status
from toolrl_cli.store.sweep_folder import SweepFolder

TOOLWORLD = ("seen_tools", "unseen_tools", "parallel", "irrelevance")
BFCL = ("overall", "non_live_ast", "non_live_exec", "live", "multi_turn", "relevance", "irrelevance")


@dataclass
class Tree:
    """A results root under construction."""

    root: Path
    sweeps: dict[str, SweepTree] = field(default_factory=dict)

    def sweep(self, name: str = "demo", tables: Sequence[str] = ()) -> SweepTree:
        return self.sweeps.setdefault(name, SweepTree(self, name, list(tables)))

    def write(self) -> Path:
        for sweep in self.sweeps.values():
            sweep.write()
        return self.root


@dataclass
class SweepTree:
    tree: Tree
    name: str
    tables: list[str]
    runs: list[RunTree] = field(default_factory=list)

    def run(
        self,
        arm: str,
        seed: int = 1,
        train: Sequence[str] = ("rl",),
        model: str = "tiny",
        algorithm: str = "grpo",
        reward: str | dict[str, Any] = "original",
        split: str = "sft",
        benchmarks: Sequence[str] = ("toolworld",),
        steps: int = 25,
        checkpoints: Sequence[int | str] = ("last",),
        label: str = "",
    ) -> RunTree:
        """Plan a run with the stages that `toolrl_cli.spec.stages` gives it."""
        tiny = model == "tiny"
        config = {"model": {"kind": "tiny" if tiny else "huggingface", "name": model}, "precision": "fp32"}
        stages: list[StageSpec] = []
        start: dict[str, str] = {}

        def add(kind: str, identity: dict[str, Any], inputs: dict[str, str], **more: Any) -> StageSpec:
            made = StageSpec(
                id=stage_id(kind, f"{label or arm}-{kind}", identity, inputs),
                kind=kind,
                identity=identity,
                inputs=inputs,
                config={} if kind == "export" else whole_config(kind, {**config, **identity}),
                **more,
            )
            stages.append(made)
            return made

        if tiny:
            base = add("sft", {"sft": {"split": "base"}, "seed": 0}, {}, total_steps=40)
            start = {"model": add("export", {"checkpoint": "last"}, {"checkpoint": base.id}).id}
        outside = {} if tiny else {"start": model}
        models: list[tuple[dict[str, str], dict[str, Any]]] = [(start, outside)]
        for kind in train:
            inputs, origin = models[-1]
            if kind == "sft":
                identity = {**origin, "sft": {"split": split}, "seed": seed}
                trained = add("sft", identity, inputs, total_steps=40)
            else:
                identity = {**origin, "algorithm": algorithm, "seed": seed}
                identity["reward"] = {"name": reward} if isinstance(reward, str) else reward
                identity["rl"] = {"steps": steps}
                trained = add("rl", identity, inputs, total_steps=steps)
            models = [
                ({"model": add("export", {"checkpoint": c}, {"checkpoint": trained.id}).id}, {})
                for c in (checkpoints if kind == train[-1] else ["last"])
            ]
        for benchmark in benchmarks:
            for inputs, origin in models:
                add(
                    "evaluate", {**origin, "benchmark": benchmark, "evaluation": {"temperature": 0.0}}, inputs
                )
        made = RunTree(self, arm, seed, {"model": model, "reward": reward}, stages)
        self.runs.append(made)
        return made

    def write(self) -> None:
        runs = tuple(
            PlannedRun(self.name, f"{r.arm}-seed{r.seed}", r.arm, r.seed, r.settings, tuple(r.stages))
            for r in self.runs
        )
        SweepFolder(self.tree.root, self.name).save(Planned(self.name, runs, tuple(self.tables)), None)


@dataclass(frozen=True)
class Planned:
    """What `SweepFolder.save` writes down."""

    sweep: str
    runs: tuple[PlannedRun, ...]
    tables: tuple[str, ...]
    description: str = ""
    tracking: Mapping[str, Any] = field(default_factory=dict)
    launchers: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class RunTree:
    sweep: SweepTree
    arm: str
    seed: int
    settings: dict[str, Any]
    stages: list[StageSpec]

    def stage(self, kind: str, benchmark: str = "", step: int | str = "") -> StageSpec:
        """The last stage of a kind; of `evaluate`, the one of a benchmark and checkpoint."""
        found = [s for s in self.stages if s.kind == kind]
        if benchmark:
            found = [s for s in found if s.config["benchmark"] == benchmark]
        if step:
            exports = {s.id for s in self.stages if s.identity.get("checkpoint") == step}
            found = [s for s in found if exports.intersection(s.inputs.values())]
        return found[-1]

    def directory(self, kind: str, benchmark: str = "", step: int | str = "") -> Path:
        return self._directory(self.stage(kind, benchmark, step))

    def _directory(self, stage: StageSpec) -> Path:
        return self.sweep.tree.root / "stages" / stage.kind / stage.id

    def state(
        self,
        kind: str,
        status: Status,
        failure: Failure | None = None,
        progress: Progress | None = None,
    ) -> RunTree:
        """Set the last stage of a kind to a status; those before it have succeeded."""
        for stage in self.stages[: self.stages.index(self.stage(kind))]:
            self._write_state(stage, "succeeded")
        self._write_state(self.stage(kind), status, failure, progress)
        return self

    def running(self, kind: str, step: int) -> RunTree:
        total = self.stage(kind).total_steps
        return self.state(kind, "running", progress=Progress(step, total))

    def failed(self, kind: str, failure: FailureClass, message: str = "") -> RunTree:
        return self.state(kind, "failed", Failure(failure, message))

    def done(
        self,
        metrics: Mapping[str, Any],
        benchmark: str = "toolworld",
        step: int | str = "",
        **conditions: Any,
    ) -> RunTree:
        """Everything succeeded; `metrics` are shares, (correct, total) or None where there is no value."""
        stage = self.stage("evaluate", benchmark, step)
        for earlier in self.stages:
            if earlier.kind != "evaluate":
                self._write_state(earlier, "succeeded")
        self._write_state(stage, "succeeded")
        scores = {
            "benchmark": benchmark,
            "protocol": benchmark,
            "version": "1",
            "data_fingerprint": "f00d",
            "prompt_format": "rlla",
            "sampling": {"temperature": 0.0},
            **conditions,
            "metrics": {name: _entry(value) for name, value in metrics.items()},
        }
        output = self._directory(stage) / "output"
        write_scores(output, scores, list(read_jsonl(output / ITEMS)))
        return self

    def items(
        self, verdicts: Mapping[str, Mapping[str, bool | None]], benchmark: str = "toolworld"
    ) -> RunTree:
        """Write items.jsonl: category → item id → verdict; counted metrics become what these say."""
        output = self.directory("evaluate", benchmark) / "output"
        rows = [
            {"id": i, "category": c, "correct": v, "reason": "", "prompt": "p", "output": "o", "calls": []}
            for c, items in verdicts.items()
            for i, v in items.items()
        ]
        scores = json.loads((output / SCORES.name).read_text())
        of = {c: [v is True for v in found.values()] for c, found in verdicts.items()}
        of["overall"] = [right for found in of.values() for right in found]
        for name, entry in scores["metrics"].items():
            if name in of and entry["total"] is not None:
                entry.update(_entry((sum(of[name]), len(of[name]))))
            elif name in TOOLWORLD and entry["total"] is not None:  # none of the items is of it
                entry.update(_entry(None))
        write_scores(output, scores, rows)
        return self

    def metrics(self, rows: Mapping[int, Mapping[str, float]], attempt: int = 1) -> RunTree:
        """Write one attempt's metrics.jsonl of the RL stage: step → metrics."""
        path = self.directory("rl") / "attempts" / str(attempt) / "metrics.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"step": step, "data": dict(data)}) + "\n" for step, data in rows.items()]
        path.write_text("".join(lines), encoding="utf-8")
        return self

    def learned(
        self, start: float, end: float, steps: int = 25, noise: float = 0.1, length: bool = False
    ) -> RunTree:
        """Plausible reward curves from `start` to `end`, as the reward manager logs them."""
        draw = random.Random(f"{self.arm}{self.seed}")
        rows: dict[int, dict[str, float]] = {}
        for step in range(steps + 1):
            share = 1 - 2.7 ** (-3 * step / steps)
            form = min(1.0, max(0.0, 0.3 + 0.7 * share + draw.gauss(0, noise / 3)))
            correct = start + (end - start) * share + draw.gauss(0, noise)
            data: dict[str, float] = {}
            if step:
                data = {
                    "reward/total/mean": form + correct,
                    "reward/format/raw/mean": form,
                    "reward/format/weight/mean": 1.0,
                    "reward/format/weighted/mean": form,
                    "reward/correctness/raw/mean": correct,
                    "reward/correctness/weight/mean": 1.0,
                    "reward/correctness/weighted/mean": correct,
                    "response_length/mean": 40 - 10 * share + draw.gauss(0, 8 * noise),
                    "actor/entropy": 1.0,
                }
                if length:
                    data["reward/length/weighted/mean"] = 0.2 + 0.3 * share
            if step % 5 == 0:
                data["val-reward/total/mean"] = form + correct - 0.1
            rows[step] = data
        return self.metrics(rows)

    def _write_state(
        self,
        stage: StageSpec,
        status: Status,
        failure: Failure | None = None,
        progress: Progress | None = None,
    ) -> None:
        begun = StageState(stage.id, stage.kind).begun(
            1, {"kind": "local", "slots": [], **ProcessId.current().to_json()}
        )
        at = 0.0 if status != "queued" else None
        state = replace(
            begun, status=status, failure=failure, progress=progress, queued=0.0, started=at, ended=at
        )
        ledger = Ledger(self.sweep.tree.root)
        write_stage(ledger, stage, state)
        if status == "succeeded" and stage.kind != "evaluate":  # `done` gives its scores
            leave(ledger.folder(stage).path, stage)


def toolworld_scores(share: float, total: int = 50) -> dict[str, tuple[int, int]]:
    """Scores of all ToolWorld columns around a share, as counts."""
    offsets = (0.06, -0.04, -0.1, 0.08)
    parts = {
        name: (min(total, max(0, round((share + offset) * total))), total)
        for name, offset in zip(TOOLWORLD, offsets, strict=True)
    }
    return {**parts, "overall": (sum(c for c, _ in parts.values()), 4 * total)}


def bfcl_scores(overall: float) -> dict[str, float | None]:
    """Plausible BFCL columns, exec left out."""
    return {
        "overall": overall,
        "non_live_ast": min(1.0, overall + 0.3),
        "non_live_exec": None,
        "live": min(1.0, overall + 0.2),
        "multi_turn": overall / 10,
        "relevance": 0.9,
        "irrelevance": overall,
    }


def _entry(value: Any) -> dict[str, Any]:
    if value is None:
        return {"value": None, "correct": None, "total": None, "why": "needs live web APIs"}
    if isinstance(value, tuple):
        return {"value": value[0] / value[1], "correct": value[0], "total": value[1]}
    return {"value": value, "correct": None, "total": None}
