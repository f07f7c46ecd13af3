"""The packaged tiny model is made anew, as far as its first steps: they are what was recorded when it was made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.training.models.model_folder import folder_of

ROOT = Path(__file__).resolve().parents[2]
STEPS = 8
PATIENCE = 900


@pytest.mark.e2e
def test_the_first_steps_of_making_it_lose_what_was_recorded(tmp_path: Path) -> None:
    folder = folder_of("toolrl:tiny_base")
    assert folder is not None
    recorded = json.loads((folder / "made.json").read_text(encoding="utf-8"))["losses"]
    argv = [sys.executable, "-m", "toolrl_cli", "sweep", "sweeps/tiny_base.yaml", "--results", str(tmp_path)]
    with (tmp_path / "log").open("w") as log:
        harness = subprocess.Popen(
            argv, cwd=ROOT, env={**os.environ, "WANDB_MODE": "disabled"}, stdout=log, stderr=subprocess.STDOUT
        )
    losses: list[float] = []
    deadline = time.monotonic() + PATIENCE
    while len(losses) < STEPS and time.monotonic() < deadline and harness.poll() is None:
        time.sleep(0.5)
        for stage in tmp_path.glob("stages/sft/tiny-base-*"):
            losses = [row["data"]["train/loss"] for row in merge_metrics(stage)]
    harness.send_signal(signal.SIGINT)  # its attempt ends with it
    harness.wait(timeout=PATIENCE)
    assert len(losses) >= STEPS, (tmp_path / "log").read_text()
    assert losses[:STEPS] == pytest.approx(recorded[:STEPS], rel=0.01)
