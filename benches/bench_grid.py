"""Speed of expanding and planning a grid, beside Hydra's multirun in the same run.

    python benches/bench_grid.py [--cells 10000 100000] [--jobs 40]

A sweep file with axes over reward, learning rate, temperature and KL is read, expanded, validated, hashed,
de-duplicated and planned (ToolWorld and the tiny model; three stages of its own a cell) in a process of its own,
start-up included. Beside it Hydra expands and composes a configuration of four values with its basic sweeper, and a
launcher that composes each job and runs nothing; its start-up is taken off, as the difference of two sizes. Exit
status 1: a bound does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = {10_000: 3.0, 100_000: 30.0}
PEAK_MB = 1000.0
RATIO = 100.0
GROWTH = 1.5
"""The time a cell takes in the largest grid may be so many times that in the smallest: linear, with some noise."""

# what `toolrl plan` does before it asks verl about the options; that has a bench of its own
OURS = """
import json, resource, sys
from pathlib import Path
from toolrl_cli.engine.facts import LocalFacts
from toolrl_cli.engine.ledger import Ledger
from toolrl_cli.engine.plan import make_plan
from toolrl_cli.spec.resolve import resolve_sweep
from toolrl_cli.spec.sweep import read_sweep

resolved = resolve_sweep(read_sweep(Path(sys.argv[1])))
plan = make_plan("grid", resolved.runs, LocalFacts(), Ledger(Path(sys.argv[2])))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"runs": len(plan.runs), "stages": len(plan.stages), "peak_mb": peak}))
"""

# what its job does is left out: the basic launcher composes every job, and then runs the task function
HYDRA = """
import hydra
from hydra.core.utils import JobReturn, JobStatus
import hydra._internal.core_plugins.basic_launcher as basic

def nothing(task_function, config, job_dir_key, job_subdir_key, hydra_context, configure_logging=True):
    done = JobReturn()
    done.status, done.return_value = JobStatus.COMPLETED, None
    return done

basic.run_job = nothing

@hydra.main(version_base=None, config_path=None, config_name="small")
def job(config):
    pass

from hydra.core.config_store import ConfigStore
ConfigStore.instance().store(name="small", node={"reward": "original", "lr": 0.1, "temperature": 1.0, "kl": 0.0})
job()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000], help="multiples of 1000")
    parser.add_argument("--jobs", type=int, default=40, help="jobs of Hydra's multirun")
    parser.add_argument("--rounds", type=int, default=2, help="the best of so many counts")
    options = parser.parse_args()
    failures = []
    with tempfile.TemporaryDirectory(prefix="toolrl-bench-") as folder:
        per_cell = []
        print(f"{'cells':>8}{'seconds':>9}{'of CPU':>8}{'ms a cell':>11}{'peak MB':>9}{'stages':>9}")
        for cells in options.cells:
            wall, cpu, told = best(cells, Path(folder), options.rounds)
            per_cell.append(1000 * wall / cells)
            print(
                f"{cells:8d}{wall:9.2f}{cpu:8.2f}{per_cell[-1]:11.3f}{told['peak_mb']:9.0f}{told['stages']:9d}"
            )
            if told["runs"] != cells:
                failures.append(f"{told['runs']} runs of {cells} cells")
            if wall > SECONDS.get(cells, float("inf")):
                failures.append(f"{cells} cells: {wall:.1f} s is over {SECONDS[cells]:.0f}")
            if told["peak_mb"] > PEAK_MB:
                failures.append(f"{cells} cells: {told['peak_mb']:.0f} MB is over {PEAK_MB:.0f}")
        if per_cell[-1] > GROWTH * per_cell[0]:
            failures.append(f"not linear: {per_cell[0]:.3f} ms a cell, then {per_cell[-1]:.3f}")
        theirs = hydra_ms(options.jobs, Path(folder))
    ratio = theirs / per_cell[-1]
    print(f"Hydra's multirun: {theirs:.0f} ms a job, {ratio:.0f} times as long as a cell here")
    if ratio < RATIO:
        failures.append(f"{ratio:.0f} times faster than Hydra is under {RATIO:.0f}")
    print("\n".join(failures) if failures else "all bounds hold")
    return 1 if failures else 0


def best(cells: int, folder: Path, rounds: int) -> tuple[float, float, dict[str, float]]:
    """Seconds on the clock and of CPU of the fastest round, and what it told."""
    sweep = folder / f"grid{cells}.yaml"
    sweep.write_text(sweep_text(cells), encoding="utf-8")
    taken = []
    for _ in range(rounds):
        taken.append(timed([sys.executable, "-c", OURS, str(sweep), str(folder / "results")], folder))
    wall, cpu, out = min(taken)
    return wall, cpu, json.loads(out)


def sweep_text(cells: int) -> str:
    """A grid of 10 rewards × 10 rates × 10 temperatures × as many KL coefficients as it takes."""
    rewards = ["original", "equal_max", "two_stage", "dynamic", "finegrained", "intermediate", "coarse"]
    rewards += ["length", "length_dynamic", "finegrained+dynamic"]
    axes = {
        "reward": rewards,
        "rl.lr": [round(1e-5 * n, 6) for n in range(1, 11)],
        "rl.temperature": [round(0.5 + 0.1 * n, 1) for n in range(10)],
        "rl.kl_coef": [round(1e-4 * n, 5) for n in range(1, cells // 1000 + 1)],
    }
    lines = [f"  {key}: {json.dumps(values)}" for key, values in axes.items()]
    return "\n".join(
        ["name: grid", "base: {preset: tiny_grpo}", "axes:", *lines, "evaluate: [toolworld]", ""]
    )


def hydra_ms(jobs: int, folder: Path) -> float:
    """Milliseconds that each further job costs Hydra's multirun."""
    script = folder / "multirun.py"
    script.write_text(HYDRA, encoding="utf-8")
    few = max(2, jobs // 10)

    def seconds(count: int) -> float:
        values = ",".join(str(n) for n in range(count))
        command = [sys.executable, str(script), "-m", f"lr={values}", f"hydra.sweep.dir={folder}/multirun"]
        return min(timed(command, folder)[0] for _ in range(2))

    return 1000 * (seconds(jobs) - seconds(few)) / (jobs - few)


def timed(command: list[str], folder: Path) -> tuple[float, float, str]:
    """Seconds on the clock and of CPU, and standard output, of a command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - started, os.times()
    if done.returncode:
        sys.exit(f"{command[:2]} failed:\n{done.stderr}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu, done.stdout


if __name__ == "__main__":
    sys.exit(main())
