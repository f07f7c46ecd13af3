"""A stage that ran out of memory goes on with a smaller micro-batch."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.spec.conftest import FixedFacts
from tests.support.configs import typed, whole_config
from tests.support.stages import FUNCTIONS, Stages
from toolrl_cli.attempt.adjusting import adjusted, next_adjust
from toolrl_cli.harness.launchers.local import LocalLauncher
from toolrl_cli.harness.scheduling.events import Event, Outcome
from toolrl_cli.harness.scheduling.scheduler import Scheduler
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.spec.kind_configs import RlConfig, SftConfig
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_config import Change
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps.resolve import resolve_runs
from toolrl_cli.spec.sweeps.sweep import read_sweep
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.store.state import StageState
from toolrl_cli.training.models.gpu_memory import chosen_offload
from toolrl_cli.training.verl_options import Paths, rl_options, sft_options

OOM = Failure.of("oom", "OutOfMemoryError: CUDA out of memory")


def rl(**settings: Any) -> dict[str, Any]:
    base = {"micro_batch": None, "micro_batch_tokens": 16384, "max_prompt_length": 2048}
    return {"rl": {**base, "max_response_length": 1024, **settings}}


def trained(stages: Stages, micro_batch: int, fits: int, **more: Any) -> StageSpec:
    config = {**rl(micro_batch=micro_batch), "fits": fits, **more}
    return stages("rl", "rl", total_steps=3, config=config)


def run(spec: StageSpec, ledger: Ledger, launcher: LocalLauncher) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []
    options = Options(functions={"rl": f"{FUNCTIONS}:train"}, heartbeat=0.2)
    outcome = Scheduler([spec], ledger, launcher, options=options, observe=events.append).run()
    return outcome, events


def test_a_stage_that_ran_out_of_memory_is_retried_once_with_half_the_micro_batch(
    ledger: Ledger, launcher: LocalLauncher, stages: Stages
) -> None:
    spec = trained(stages, micro_batch=8, fits=4)
    outcome, events = run(spec, ledger, launcher)
    assert outcome.exit_code == 0
    folder = ledger.folder(spec)
    state = folder.state()
    assert [(a.n, a.status) for a in state.attempts] == [(1, "failed"), (2, "succeeded")]
    assert state.attempts[0].failure is not None
    assert state.attempts[0].failure.kind == "oom"
    assert state.attempts[0].failure.hint.startswith("the next attempt has micro-batch 8 → 4")
    assert state.adjust == {"rl.micro_batch": {"asked": 8, "used": 4}}
    (retry,) = (event for event in events if event.what == "retrying")
    assert retry.message == "with micro-batch 8 → 4, again in 0 s (1 of 1)"
    told = "toolrl: rl.micro_batch 8 → 4 after running out of memory"
    assert told in (folder.attempt(2) / "log.txt").read_text()
    assert "adjust" in json.loads((folder.attempt(2) / "command.json").read_text())
    assert folder.spec() == spec  # what was asked for is still on record
    assert [row["step"] for row in merge_metrics(folder.path)] == [1, 2, 3]


def test_it_is_retried_once_and_the_next_command_goes_on_getting_smaller(
    ledger: Ledger, launcher: LocalLauncher, stages: Stages
) -> None:
    spec = trained(stages, micro_batch=8, fits=1)
    outcome, _ = run(spec, ledger, launcher)
    assert outcome.exit_code == 1
    assert len(ledger.read(spec).attempts) == 2
    outcome, _ = run(spec, ledger, launcher)
    assert outcome.exit_code == 0
    state = ledger.read(spec)
    assert (state.attempt, state.adjust) == (4, {"rl.micro_batch": {"asked": 8, "used": 1}})


def test_the_smaller_micro_batch_stays_through_other_failures(
    ledger: Ledger, launcher: LocalLauncher, stages: Stages
) -> None:
    spec = trained(stages, micro_batch=8, fits=4, fault="crash", at=2, fault_in=[2])
    outcome, _ = run(spec, ledger, launcher)
    assert outcome.exit_code == 1
    outcome, _ = run(spec, ledger, launcher)
    assert outcome.exit_code == 0
    kinds = [a.failure.kind if a.failure else "" for a in ledger.read(spec).attempts]
    assert kinds == ["oom", "unknown", ""]


def test_where_it_cannot_get_smaller_there_is_no_retry_and_the_hint_says_what_else_helps(
    ledger: Ledger, launcher: LocalLauncher, stages: Stages
) -> None:
    spec = trained(stages, micro_batch=1, fits=0)
    outcome, events = run(spec, ledger, launcher)
    assert outcome.exit_code == 1
    state = ledger.read(spec)
    assert state.attempt == 1
    assert state.failure is not None
    assert state.failure.hint == (
        "the micro-batch is 1 already; a shorter rl.max_response_length or more GPUs help"
    )
    assert not [event for event in events if event.what == "retrying"]


def failed(stages: Stages, config: dict[str, Any], **state: Any) -> tuple[StageSpec, StageState]:
    spec = stages("rl", "rl", config=config)
    return spec, StageState(spec.id, "rl", "failed", attempt=1, failure=OOM, **state)


def test_whoever_changes_the_setting_has_the_last_word(stages: Stages) -> None:
    spec, state = failed(stages, rl(micro_batch=8))
    adjust = next_adjust(spec, state)
    assert adjusted(spec, adjust).config["rl"]["micro_batch"] == 4
    changed = dataclasses.replace(spec, config=whole_config("rl", rl(micro_batch=2)))
    assert adjusted(changed, adjust).config["rl"]["micro_batch"] == 2
    other = dataclasses.replace(state, failure=Failure.of("infra", "lost"), adjust=adjust)
    assert next_adjust(changed, other) == {}


def test_what_is_adjusted_survives_the_file_and_an_older_file_has_none(stages: Stages) -> None:
    spec, state = failed(stages, rl(micro_batch=8))
    state = dataclasses.replace(state, adjust=next_adjust(spec, state))
    data = json.loads(json.dumps(state.to_json()))
    assert StageState.from_json(data) == state
    del data["adjust"], data["note"]
    assert StageState.from_json(data).adjust == {}


def test_the_identity_of_an_adjusted_stage_is_the_same(stages: Stages) -> None:
    spec, state = failed(stages, rl(micro_batch=8))
    smaller = adjusted(spec, next_adjust(spec, state))
    assert (smaller.id, smaller.identity, smaller.inputs) == (spec.id, spec.identity, spec.inputs)


@pytest.mark.parametrize("kind", ["rl", "sft"])
def test_what_is_adjusted_reaches_verls_options(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s.yaml"
    text = "name: s\nbase: {preset: tiny_ppo, train: [sft, rl], rl.micro_batch: 8, sft.micro_batch_size: 8}\n"
    path.write_text(text, encoding="utf-8")
    (run,) = resolve_runs(read_sweep(path, ()))
    spec = [stage for stage in run_stages(run.spec, FixedFacts()) if stage.kind == kind][-1]
    smaller = adjusted(spec, next_adjust(spec, StageState(spec.id, kind, "failed", attempt=1, failure=OOM)))

    def made(stage: StageSpec) -> dict[str, Any]:
        if kind == "rl":
            return rl_options(stage.settings(RlConfig), paths, "cpu")
        return sft_options(stage.settings(SftConfig), paths, "cpu")

    paths = Paths(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path)
    before, after = made(spec), made(smaller)
    changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
    assert set(changed.values()) == {(8, 4)}
    assert all("micro_batch_size_per_gpu" in key for key in changed)
    assert len(changed) == {"rl": 4, "sft": 1}[kind]  # actor, its log-probs, the reference's, the critic


@pytest.mark.parametrize(
    ("kind", "config", "message", "key", "new"),
    [
        ("rl", rl(micro_batch=8), "", "rl.micro_batch", 4),
        ("rl", rl(micro_batch=9), "", "rl.micro_batch", 3),  # what 9 divided, 3 divides; 4 need not
        ("rl", rl(micro_batch=7), "", "rl.micro_batch", 1),
        ("rl", rl(), "", "rl.micro_batch_tokens", 8192),
        ("rl", rl(micro_batch_tokens=5000), "", "rl.micro_batch_tokens", 3072),  # one whole sequence
        ("sft", {"sft": {"micro_batch_size": 2, "batch_size": 16}}, "", "sft.micro_batch_size", 1),
        (
            "sft",
            {"sft": {"micro_batch_size": 64, "batch_size": 64}, "resources": {"gpus": 2}},
            "",
            "sft.micro_batch_size",
            16,  # half of the 32 that each of the two had
        ),
        ("evaluate", {"evaluation": {"batch_size": 64}}, "", "evaluation.batch_size", 32),
        (
            "rl",
            {**rl(), "resources": {"gpu_memory_utilization": 0.6}},
            "ValueError: Free memory on device is less than desired GPU memory utilization (0.6, 47 GiB)",
            "resources.gpu_memory_utilization",
            0.5,
        ),
        (
            "rl",
            {**rl(), "resources": {"gpu_memory_utilization": 0.6}},
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
            "resources.gpu_memory_utilization",
            0.7,
        ),
    ],
)
def test_what_is_made_smaller(kind: str, config: dict[str, Any], message: str, key: str, new: float) -> None:
    change = typed(kind, config).with_less_memory(message)
    assert isinstance(change, Change)
    assert (change.key, change.new) == (key, new)


@pytest.mark.parametrize(
    ("kind", "config", "words"),
    [
        ("rl", rl(micro_batch_tokens=3072), "one sequence, already"),
        ("rl", rl(micro_batch=1), "1 already"),
        ("sft", {"sft": {"micro_batch_size": 1, "batch_size": 8}}, "shorter sft.max_length"),
        ("evaluate", {"evaluation": {"batch_size": 1}}, "more memory"),
        ("export", {}, "more memory"),
    ],
)
def test_where_nothing_can_be_made_smaller_it_is_told_what_helps(
    kind: str, config: dict[str, Any], words: str
) -> None:
    why = typed(kind, config).with_less_memory()
    assert isinstance(why, str)
    assert words in why


def test_smaller_batches_bring_nothing_back_to_the_gpu(stages: Stages) -> None:
    spec, _ = failed(stages, rl(micro_batch_tokens=16384))
    room = {"gpus": 2, "gpu_memory": 80, "offload": "auto", "rollout": "vllm"}
    model = {"kind": "huggingface", "name": "large", "path": "Qwen/Qwen2.5-7B-Instruct"}
    large = replace(spec, config={**spec.config, "model": model, "resources": {**room, "device": "cuda"}})
    change = {"rl.micro_batch_tokens": {"asked": 16384, "used": 3072}}
    assert chosen_offload(adjusted(large, change).settings(RlConfig)) == "always"
    assert adjusted(large, {}).config is large.config
