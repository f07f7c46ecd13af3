"""A hang and a torn checkpoint on real verl: one GRPO training meets both and loses no step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.tree import descendants, marked
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.store.state import AttemptRecord
from toolrl_cli.training.models.tiny_model import make_tiny_model

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 900
SWEEP = """
name: faults
base: {{preset: tiny_grpo}}
arms:
  hurt:
    model: {model}
    data: {{kind: toolworld, base: 16, sft: 16, train: 64, val: 4, benchmark: 4}}
    rl: {{steps: 3, prompts: 2, rollouts: 4, mini_batch: 2, save_every: 1, max_response_length: 8}}
    rl.allow_cut_gold: true
    resources.hang_minutes: 0.6
"""


@dataclass(frozen=True)
class Hurt:
    """The training after all that: its stage, and what the command said."""

    rl: StageFolder
    code: int
    said: str

    @property
    def attempts(self) -> list[AttemptRecord]:
        """Those in which Ray began: it gives its own agents 15 s, which a busy machine may not have (`infra`)."""
        return [a for a in self.rl.state().attempts if a.failure is None or a.failure.kind != "infra"]

    def log(self, attempt: AttemptRecord) -> str:
        return (self.rl.attempt(attempt.n) / "log.txt").read_text(errors="replace")


@pytest.fixture(scope="module")
def hurt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hurt]:
    """In its second step's wake the training's workers freeze, and its newest checkpoint loses its end."""
    folder = tmp_path_factory.mktemp("faults")
    model = make_tiny_model(folder / "model")
    (folder / "faults.yaml").write_text(SWEEP.format(model=model))
    argv = [sys.executable, "-m", "toolrl_cli", "sweep", str(folder / "faults.yaml")]
    environment = {**os.environ, "WANDB_MODE": "disabled", "COLUMNS": "200"}
    with (folder / "said.txt").open("wb") as said:
        harness = subprocess.Popen(
            [*argv, "--results", str(folder / "results")], cwd=ROOT, env=environment, stdout=said, stderr=said
        )
    try:
        checkpoints = _freeze_after(folder, 2, harness)
        shard = next((checkpoints / "global_step_2" / "actor").glob("model_*.pt"))
        shard.write_bytes(shard.read_bytes()[:-100])
        code = harness.wait(timeout=PATIENCE)
    finally:
        if harness.poll() is None:
            harness.terminate()
            harness.wait()
    (state,) = Ledger(folder / "results").results.glob("stages/rl/*/state.json")
    yield Hurt(StageFolder(state.parent), code, (folder / "said.txt").read_text())


def _freeze_after(folder: Path, step: int, harness: subprocess.Popen[bytes]) -> Path:
    """SIGSTOP for all Ray workers of the attempt once the step's checkpoint is written; the checkpoints."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert harness.poll() is None, (folder / "said.txt").read_text()
        for tracker in folder.glob("results/stages/rl/*/checkpoints/latest_checkpointed_iteration.txt"):
            if tracker.read_text() == str(step):
                attempt = ProcessId.from_json(
                    json.loads((tracker.parents[1] / "state.json").read_text())["launcher"]
                )
                workers = [p for p in descendants(attempt.pid) if _is_ray_worker(p.pid)]
                assert workers
                for worker in workers:
                    os.kill(worker.pid, signal.SIGSTOP)
                return tracker.parent
        time.sleep(0.02)
    raise AssertionError("no checkpoint was written")


def _is_ray_worker(pid: int) -> bool:
    try:
        return "ray::" in " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return False


def test_a_training_that_makes_no_step_is_ended_as_a_hang(hurt: Hurt) -> None:
    first = hurt.attempts[0]
    assert first.failure is not None
    assert first.failure.kind == "hang"
    assert "no training step for" in first.failure.message
    assert "failed: hang: no training step for" in hurt.said


def test_the_torn_checkpoint_is_set_aside_and_the_one_before_is_used(hurt: Hurt) -> None:
    log = hurt.log(hurt.attempts[1])
    aside = "set aside global_step_2: actor/model_world_size_1_rank_0.pt is torn; going on from step 1"
    assert f"toolrl: {aside}" in log
    assert "global_step_1" in log.partition("going on from step 1")[2]  # verl itself says where from


def test_the_same_command_ends_well_with_every_step_once(hurt: Hurt) -> None:
    assert hurt.code == 0, hurt.said
    assert [a.status for a in hurt.attempts] == ["failed", "succeeded"]
    assert [row["step"] for row in merge_metrics(hurt.rl.path) if row["step"]] == [1, 2, 3]


def test_nothing_is_left_of_the_frozen_processes(hurt: Hurt) -> None:
    for attempt in hurt.rl.attempts():
        record = json.loads((attempt / "processes.json").read_text())
        assert record["ended"] and marked(record["mark"]) == []
    assert hurt.rl.lease() is None
