"""Result trees as the engine leaves them: complete, half done, failed, running or torn."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.configs import whole_config
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.identity import stage_id
from toolrl_cli.spec.stage import StageSpec

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
        reward: str = "original",
        split: str = "sft",
        benchmarks: Sequence[str] = ("toolworld",),
        steps: int = 25,
        checkpoints: Sequence[int | str] = ("last",),
    ) -> RunTree:
        """Plan a run with the stages that `toolrl_cli.spec.stages` gives it."""
        tiny = model == "tiny"
        config = {"model": {"kind": "tiny" if tiny else "huggingface", "name": model}, "precision": "fp32"}
        stages: list[StageSpec] = []
        start: dict[str, str] = {}

        def add(kind: str, identity: dict[str, Any], inputs: dict[str, str], **more: Any) -> StageSpec:
            label = f"{arm}-{kind}"
            made = StageSpec(
                id=stage_id(kind, label, identity, inputs),
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
                identity = {**origin, "algorithm": algorithm, "reward": {"name": reward}, "seed": seed}
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

    @property
    def directory(self) -> Path:
        return self.tree.root / "sweeps" / self.name

    def write(self) -> None:
        stages = {s.id: s for run in self.runs for s in run.stages}
        plan = {
            "schema": 1,
            "sweep": self.name,
            "runs": [
                {
                    "id": f"{r.arm}-seed{r.seed}",
                    "arm": r.arm,
                    "seed": r.seed,
                    "settings": r.settings,
                    "stages": [s.id for s in r.stages],
                }
                for r in self.runs
            ],
            "stages": [s.to_json() for s in stages.values()],
            "tables": self.tables,
        }
        write_json(self.directory / "plan.json", plan)


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

    def state(self, kind: str, status: str, **more: Any) -> RunTree:
        """Set the last stage of a kind to a status; those before it have succeeded."""
        for stage in self.stages[: self.stages.index(self.stage(kind))]:
            self._write_state(stage, "succeeded")
        self._write_state(self.stage(kind), status, **more)
        return self

    def running(self, kind: str, step: int) -> RunTree:
        total = self.stage(kind).total_steps
        return self.state(kind, "running", progress={"step": step, "total": total, "metrics": {}})

    def failed(self, kind: str, failure: str, message: str = "") -> RunTree:
        return self.state(kind, "failed", failure={"class": failure, "message": message, "hint": ""})

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
            "schema": 1,
            "benchmark": benchmark,
            "protocol": benchmark,
            "version": "1",
            "data_fingerprint": "f00d",
            "prompt_format": "rlla",
            "sampling": {"temperature": 0.0},
            **conditions,
            "metrics": {name: _entry(value) for name, value in metrics.items()},
        }
        write_json(self._directory(stage) / "output" / "scores.json", scores)
        return self

    def items(
        self, verdicts: Mapping[str, Mapping[str, bool | None]], benchmark: str = "toolworld"
    ) -> RunTree:
        """Write items.jsonl: category → item id → verdict."""
        path = self.directory("evaluate", benchmark) / "output" / "items.jsonl"
        rows = [
            {"id": i, "category": c, "correct": v, "reason": "", "prompt": "p", "output": "o", "calls": []}
            for c, items in verdicts.items()
            for i, v in items.items()
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
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

    def _write_state(self, stage: StageSpec, status: str, **more: Any) -> None:
        at_work = {"kind": "local", "slots": [], **ProcessId.current().to_json()}
        state = {
            "schema": 1,
            "id": stage.id,
            "kind": stage.kind,
            "status": status,
            "attempt": 1,
            "launcher": at_work if status in ("queued", "running") else None,
            "failure": None,
            "progress": None,
            "times": {"queued": 0.0, "started": 0.0, "ended": 0.0},
            "attempts": [],
            **more,
        }
        write_json(self._directory(stage) / "state.json", state)
        write_json(self._directory(stage) / "spec.json", stage.to_json())


def write_json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")


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
