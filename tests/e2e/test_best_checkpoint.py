"""Real verl on the CPU: the best checkpoint by validation is kept and exported, and a stage goes on from a step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from toolrl_cli.rewards import get_reward
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.training.checkpointing.best_checkpoint import best_folder, validation_judge
from toolrl_cli.training.checkpointing.checkpoints import saved_steps, torn_model, what_is_torn

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
SWEEP = """
name: best
base:
  preset: tiny_grpo
  model: tiny_base
  data: {kind: toolworld, train: 64, val: 16, benchmark: 4}
  rl: {steps: 6, prompts: 4, mini_batch: 4, lr: 0.005, save_every: 2, validate_every: 1, keep_checkpoints: 2}
  checkpoint: best
arms: {coarse: {reward: coarse}}
"""


def toolrl(folder: Path, *arguments: str) -> str:
    scratch = folder / "a folder for temporary files whose path is too long for sockets"
    scratch.mkdir(exist_ok=True)
    answer = subprocess.run(
        [sys.executable, "-m", "toolrl_cli", *arguments, "--results", str(folder / "results")],
        cwd=folder,
        # as on a cluster: no home that could be written, and a long path for temporary files
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HOME": "/proc/none",
            "TMPDIR": str(scratch),
            "WANDB_MODE": "disabled",
        },
        capture_output=True,
        text=True,
        timeout=900,  # a hang; never a measure of speed
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    return answer.stderr


def stage(folder: Path, kind: str) -> Path:
    (found,) = (folder / "results" / "stages" / kind).glob("grpo-*")
    return found


def judged(rl: Path) -> dict[int, float]:
    """What the saved steps scored, worked out from the metrics alone."""
    judge = validation_judge(get_reward("coarse"), 6)
    values = {row["step"]: judge(row["step"], row["data"]) for row in merge_metrics(rl)}
    return {step: value for step, value in values.items() if step in (2, 4, 6) and value is not None}


def check(folder: Path) -> None:
    """What has to hold whenever the sweep is done."""
    rl, export = stage(folder, "rl"), stage(folder, "export")
    checkpoints = rl / "checkpoints"
    values = judged(rl)
    best = min(values, key=lambda step: (-values[step], step))
    record: dict[str, Any] = json.loads((checkpoints / "best.json").read_text())
    assert (record["step"], {int(n): v for n, v in record["judged"].items()}) == (best, values)
    assert [path.name for path in checkpoints.glob("best_step_*")] == [f"best_step_{best}"]
    assert torn_model(best_folder(checkpoints, best) / "actor") is None
    assert sorted(step for step, _ in saved_steps(checkpoints)) == [4, 6]
    assert all(what_is_torn(path, read=True) is None for _, path in saved_steps(checkpoints))
    exported = json.loads((export / "output" / "checkpoint.json").read_text())
    assert (exported["rule"], exported["step"], exported["among"]) == ("best", best, [2, 4, 6])
    shard = torch.load(
        best_folder(checkpoints, best) / "actor" / "model_world_size_1_rank_0.pt", weights_only=False
    )
    weights = AutoModelForCausalLM.from_pretrained(export / "output" / "model").state_dict()
    name = "model.layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(
        weights[name].float(), shard[name].to_local(), rtol=0.005, atol=0
    )  # rounded to bf16
    assert [row["step"] for row in merge_metrics(rl)] == list(range(7))


def test_the_best_is_kept_and_exported_and_a_stage_goes_on_from_a_step(tmp_path: Path) -> None:
    (tmp_path / "best.yaml").write_text(SWEEP, encoding="utf-8")
    toolrl(tmp_path, "sweep", "best.yaml")
    check(tmp_path)
    rl = stage(tmp_path, "rl")
    before = judged(rl)

    told = toolrl(tmp_path, "resume", "best", "--only", "coarse", "--from-step", "4")
    assert f"{rl.name}: set back to step 4" in told
    assert "2 of 2 stages owed" in told
    check(tmp_path)
    assert {step: judged(rl)[step] for step in (2, 4)} == pytest.approx(
        {step: before[step] for step in (2, 4)}
    )
    rows = [json.loads(line) for line in (rl / "attempts" / "2" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [4, 5, 6]
    assert (rl / "superseded" / "1" / "checkpoints" / "global_step_6" / "data.pt").is_file()


def test_a_training_that_was_killed_in_its_last_validation_is_validated_then(tmp_path: Path) -> None:
    (tmp_path / "best.yaml").write_text(SWEEP, encoding="utf-8")
    toolrl(tmp_path, "sweep", "best.yaml")
    rl = stage(tmp_path, "rl")
    before, log = judged(rl), rl / "attempts" / "1" / "metrics.jsonl"
    log.write_text("".join(line for line in log.open() if json.loads(line)["step"] < 6))
    record = json.loads((rl / "checkpoints" / "best.json").read_text())
    del record["judged"]["6"]
    (rl / "checkpoints" / "best.json").write_text(json.dumps(record))
    state = json.loads((rl / "state.json").read_text())
    (rl / "state.json").write_text(json.dumps(state | {"status": "stopped"}))

    toolrl(tmp_path, "resume", "best")
    check(tmp_path)
    assert judged(rl) == pytest.approx(before)
    assert "step 6 was saved and not logged" in (rl / "attempts" / "2" / "log.txt").read_text()
