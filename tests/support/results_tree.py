"""Finished and half-finished stages as attempts leave them, without running any."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.configs import whole_config
from toolrl_cli.planning.plan import Plan, lay_out
from toolrl_cli.spec.identity import stage_id
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.files import write_json
from toolrl_cli.store.lease import take
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.schemas import ENVIRONMENT, PACE
from toolrl_cli.store.scores import write_scores
from toolrl_cli.store.state import AttemptRecord, Progress, StageState

CPU = {"kind": "local", "slots": ["cpu0"]}
GPU = {"kind": "local", "slots": ["0", "1"]}
MODEL = {"kind": "huggingface", "name": "qwen2.5-1.5b-instruct", "path": "Qwen/Qwen2.5-1.5B-Instruct"}
TINY = {"kind": "tiny", "name": "tiny", "seed": 0}


def stage(
    kind: str,
    name: str = "a",
    *,
    seed: int = 1,
    after: Sequence[StageSpec] = (),
    steps: int | None = 25,
    model: Mapping[str, Any] = TINY,
    device: str = "auto",
    gpus: int = 1,
    settings: Mapping[str, Any] | None = None,
    identity: Mapping[str, Any] | None = None,
    **config: Any,
) -> StageSpec:
    """A stage with the fields of `spec.stages`."""
    defaults: dict[str, dict[str, Any]] = {
        "rl": {
            **{"prompts": 8, "rollouts": 8, "max_prompt_length": 256, "max_response_length": 64},
            **{"save_every": 5, "keep_checkpoints": 2, "lr": 1e-6, "micro_batch": None},
            "micro_batch_tokens": 16384,
        },
        "sft": {"split": "sft", "batch_size": 32, "max_length": 512, "epochs": 6, "micro_batch_size": 1},
        "evaluate": {},
        "export": {},
    }
    own = {**defaults[kind], **(settings or {})}
    fields = {kind: own} if own else {}
    whole = {"name": name, "seed": seed, **fields, **(identity or {})}
    inputs = {f"input{n}" if n else "model": spec.id for n, spec in enumerate(after)}
    if kind == "rl":
        config = {"algorithm": "grpo", **config}
    if kind == "evaluate":
        config = {
            "benchmark": "toolworld",
            "data": {"kind": "toolworld", "benchmark": 200},
            "evaluation": {"max_prompt_length": 512, "max_response_length": 64},
            **config,
        }
    return StageSpec(
        id=stage_id(kind, f"{name}-s{seed}", whole, inputs),
        kind=kind,
        identity=whole,
        inputs=inputs,
        config=whole_config(
            kind,
            {
                **({} if kind == "export" else {"model": dict(model)}),
                "resources": {"device": device, "gpus": gpus, "gpu_memory_utilization": 0.6},
                **({} if kind in ("export", "evaluate") else fields),
                **config,
            },
        ),
        slots=gpus,
        total_steps=steps if kind in ("rl", "sft") else None,
    )


def finish(
    ledger: Ledger,
    spec: StageSpec,
    seconds: float = 60.0,
    *,
    step_times: Sequence[float] = (),
    pace: tuple[float, float] | None = None,
    launcher: Mapping[str, Any] = CPU,
    memory_gb: float | None = None,
    environment: Mapping[str, Any] | None = None,
    status: str = "succeeded",
    step: int | None = None,
    failure: Failure | None = None,
    size: int = 0,
) -> StageState:
    """Write one ended attempt that took so long; `pace`: seconds to the first step, and of each step."""
    folder = ledger.folder(spec)
    attempt = folder.attempt(1)
    attempt.mkdir(parents=True, exist_ok=True)
    rows = [
        {"timing_s/step": time, **({"actor/perf/max_memory_allocated_gb": memory_gb} if memory_gb else {})}
        for time in step_times
    ]
    text = "".join(json.dumps({"step": n, "data": row}) + "\n" for n, row in enumerate(rows, 1))
    (attempt / "metrics.jsonl").write_text(text, encoding="utf-8")
    write_json(attempt / ENVIRONMENT.name, ENVIRONMENT.stamped({"devices": None, **(environment or {})}))
    if pace and spec.total_steps:
        first, each = pace
        last = {"step": spec.total_steps, "after": first + each * (spec.total_steps - 1)}
        write_json(attempt / PACE.name, PACE.stamped({"first": {"step": 1, "after": first}, "last": last}))
    if size:
        (folder.path / "output").mkdir(exist_ok=True)
        (folder.path / "output" / "weights").write_bytes(b"\0" * size)
    if status == "succeeded":
        leave(folder.path, spec)
    made = step if step is not None else spec.total_steps
    record = AttemptRecord(1, status, failure, 1000.0, 1000.0 + seconds)  # type: ignore[arg-type]
    state = replace(
        StageState(spec.id, spec.kind).begun(1, launcher),
        status=status,
        failure=failure,
        started=1000.0,
        ended=1000.0 + seconds,
        progress=Progress(made, spec.total_steps) if made is not None else None,
        attempts=(record,),
    )
    write_stage(ledger, spec, state)
    return state


def write_stage(ledger: Ledger, spec: StageSpec, state: StageState) -> None:
    """Write down what a stage is and how it stands, as whoever holds its lease does."""
    folder = ledger.folder(spec)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_spec(spec)
    with take(folder.path, purpose="attempt") as lease:
        folder.write_state(state, lease)


def leave(folder: Path, spec: StageSpec) -> None:
    """Write what later stages look for: scores without a metric, an empty model or checkpoint."""
    if spec.kind == "evaluate":
        write_scores(folder / "output", {"benchmark": spec.config["benchmark"], "metrics": {}}, [{"id": "1"}])
        return
    checkpoint = f"checkpoints/global_step_{spec.total_steps}/data.pt"
    path = folder / ("output/model/config.json" if spec.kind == "export" else checkpoint)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")


def plan_of(ledger: Ledger, *chains: Sequence[StageSpec], name: str = "demo") -> Plan:
    """A sweep whose runs are these chains."""
    runs = [
        PlannedRun(name, f"arm{n}-seed1", f"arm{n}", 1, {}, tuple(chain)) for n, chain in enumerate(chains)
    ]
    return lay_out(name, runs, ledger)


def results(folder: Path) -> Ledger:
    return Ledger(folder / "results")
