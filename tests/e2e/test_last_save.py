"""RL that is given the time saves before it stops, on real verl."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.stages import ROOT, eventually
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.training.checkpointing.checkpoints import prepare_resume
from toolrl_cli.training.checkpointing.last_save import WITHIN

pytestmark = pytest.mark.e2e

TOOLRL = [sys.executable, "-m", "toolrl_cli"]


def test_a_training_that_is_told_of_its_end_goes_on_from_the_step_that_it_was_in(tmp_path: Path) -> None:
    rl = {"steps": 200, "save_every": 200, "validate_every": 200}
    base = {"preset": "tiny_grpo", "model": "tiny_base", "train": ["rl"], "rl": rl}
    file, log = tmp_path / "last.yaml", tmp_path / "log.txt"
    file.write_text(yaml.safe_dump({"name": "last", "base": base, "arms": {"a": {}}}))
    where = ["--results", str(tmp_path / "results")]
    with log.open("w") as out:
        sweep = subprocess.Popen(
            [*TOOLRL, "sweep", str(file), *where, "--wandb", "disabled"],
            env={**os.environ, WITHIN: "120"},
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        logged = "results/stages/rl/*/attempts/1/metrics.jsonl"
        eventually(
            lambda: any(p.read_text().count("\n") > 2 for p in tmp_path.glob(logged)), 300, log.read_text
        )
        subprocess.run([*TOOLRL, "stop", "last", *where], cwd=ROOT, check=True, capture_output=True)
        sweep.wait(240)
    (folder,) = tmp_path.glob("results/stages/rl/*")
    found = prepare_resume(folder / "checkpoints")
    assert found.path is not None and 2 <= found.step < 200, log.read_text()
    assert found.step in {row["step"] for row in merge_metrics(folder)} and "stopped" in log.read_text()
