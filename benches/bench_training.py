"""Start-up and step time of a GRPO stage on the CPU, beside verl as it is, in one run.

    python benches/bench_training.py [--steps N]

Both sides train the same untrained tiny model on the same rows with 64 responses a step. The peer is the same
command without what toolrl adds for speed: processes forked from one host, the short poll of the replay buffer,
and rollouts in bundles.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from toolrl_cli import api
from toolrl_cli.datasets.prepare import write_dataset
from toolrl_cli.rewards import get_reward
from toolrl_cli.spec.kind_configs import RlConfig
from toolrl_cli.training.cpu.cpu_options import cpu_command, cpu_environment, hydra_arguments
from toolrl_cli.training.models.tiny_model import make_tiny_model
from toolrl_cli.training.verl_options import REWARD_FILE, Paths, rl_options

OURS_ONLY = ("trainer.v1.sampler.", "+actor_rollout_ref.rollout.agent.agent_loop_manager_class")


def options_of(work: Path, side: str, steps: int) -> dict[str, Any]:
    """verl's options for one side, with folders of its own."""
    sweep = work / "bench.yaml"
    sweep.write_text(f"name: bench\nbase: {{preset: tiny_grpo, rl.steps: {steps}, rl.save_every: 1000}}\n")
    (run,) = api.plan(sweep, results=work / "results").runs
    config = next(stage for stage in run.stages if stage.kind == "rl").settings(RlConfig)
    attempt = work / side
    attempt.mkdir()
    (attempt / REWARD_FILE).write_text(json.dumps(get_reward("original").to_dict()))
    data = work / "data"
    paths = Paths(
        work / "model", data / "train.parquet", data / "val.parquet", attempt / "checkpoints", attempt
    )
    return rl_options(config, paths, "cpu")


def measure(work: Path, side: str, steps: int) -> tuple[float, float]:
    """Seconds from process start to the first step's rollout, and the median second of a step."""
    options = options_of(work, side, steps)
    if side == "toolrl":
        argv = cpu_command("verl.trainer.main_ppo", hydra_arguments(options))
    else:
        plain = {k: v for k, v in options.items() if not k.startswith(OURS_ONLY)}
        argv = [sys.executable, "-m", "verl.trainer.main_ppo", *hydra_arguments(plain)]
    metrics = work / side / "metrics.jsonl"
    env = {**os.environ, **cpu_environment(), "VERL_FILE_LOGGER_PATH": str(metrics)}
    began = time.monotonic()
    with (work / side / "log.txt").open("wb") as log:
        child = subprocess.Popen(argv, env=env, stdout=log, stderr=subprocess.STDOUT, cwd=work / side)
        started = None
        while child.poll() is None:
            if started is None and metrics.exists() and metrics.stat().st_size:
                started = time.monotonic() - began
            time.sleep(0.05)
    if child.returncode or started is None:
        sys.exit(f"{side}: verl ended with status {child.returncode}; see {work / side / 'log.txt'}")
    rows = [json.loads(line)["data"] for line in metrics.read_text().splitlines()]
    return started, statistics.median(row["timing_s/step"] for row in rows if "timing_s/step" in row)


def main() -> None:
    """Measure both sides and print them with their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory(prefix="bench-training-") as folder:
        work = Path(folder)
        make_tiny_model(work / "model")
        write_dataset("toolworld", {"seed": 0}, work / "data")
        found = {side: measure(work, side, steps) for side in ("toolrl", "verl")}
    print(f"{'':10}{'start to validation':>22}{'median step':>14}")
    for side, (start, step) in found.items():
        print(f"{side:10}{start:>20.1f} s{step:>12.2f} s")
    ratio = [theirs / ours for ours, theirs in zip(found["toolrl"], found["verl"], strict=True)]
    print(f"{'ratio':10}{ratio[0]:>22.2f}{ratio[1]:>14.2f}")


if __name__ == "__main__":
    main()
