"""Speed of expanding and planning a grid, beside Hydra's multirun in the same run.

    python benches/bench_grid.py [--cells 2000 10000] [--jobs 40]

A sweep file with axes over reward, learning rate, temperature and KL is read, expanded, validated, hashed,
de-duplicated and planned (ToolWorld and the tiny model; three stages of its own a cell) in a process of its own,
start-up included; then by the whole of `toolrl plan`, which also asks whether verl takes the options, estimates time
and disk, looks for drift and shows it all, as a table and as JSON. What verl was seen to accept is remembered: the
first plan, which imports verl once, is a row of its own and has no bound. Beside it Hydra expands and composes a
configuration of four values with its basic sweeper, and a launcher that composes each job and runs nothing; its
start-up is taken off, as the difference of two sizes. Exit status 1: a bound does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = {10_000: 4.0}
"""Most CPU time, start-up included; the time on the clock says more of what else the machine did."""
PEAK_MB = 600.0
RATIO = 100.0
GROWTH = 1.5
"""The CPU time a cell takes in the largest grid may be so many times that in the smallest: linear, with some noise."""

FIRST = "first toolrl plan"


@dataclass(frozen=True)
class Took:
    """What a command took, in seconds and MB, and its standard output."""

    wall: float
    cpu: float
    peak: float
    out: str


# what `toolrl plan` does before it asks verl about the options; that has a bench of its own
OURS = """
import json, sys
from pathlib import Path
from toolrl_cli.planning.fingerprints import LocalFacts
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.planning.layout import make_plan
from toolrl_cli.spec.sweeps.resolve import resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep

resolved = resolve_sweep(read_sweep(Path(sys.argv[1])))
plan = make_plan("grid", resolved.runs, LocalFacts(), Ledger(Path(sys.argv[2])))
print(json.dumps({"runs": len(plan.runs), "stages": len(plan.stages)}))
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
    parser.add_argument("--cells", type=int, nargs="+", default=[2000, 10_000], help="multiples of 1000")
    parser.add_argument("--jobs", type=int, default=40, help="jobs of Hydra's multirun")
    parser.add_argument("--rounds", type=int, default=2, help="the best of so many counts")
    options = parser.parse_args()
    failures: list[str] = []
    per_cell: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="toolrl-bench-") as place:
        folder = Path(place)
        print(f"{'what':18}{'cells':>8}{'seconds':>9}{'of CPU':>8}{'CPU ms/cell':>13}{'peak MB':>9}")
        for cells in options.cells:
            sweep = folder / f"grid{cells}.yaml"
            sweep.write_text(sweep_text(cells), encoding="utf-8")
            for what, rounds, command in programs(sweep, folder, options.rounds):
                took = min((timed(command, folder) for _ in range(rounds)), key=lambda took: took.cpu)
                each = 1000 * took.cpu / cells
                print(f"{what:18}{cells:8d}{took.wall:9.2f}{took.cpu:8.2f}{each:13.3f}{took.peak:9.0f}")
                if what == FIRST:
                    continue
                per_cell.setdefault(what, []).append(each)
                failures += beyond(what, cells, took)
        theirs = hydra_ms(options.jobs, folder)
    for what, times in per_cell.items():
        if times[-1] > GROWTH * times[0]:
            failures.append(f"{what} is not linear: {times[0]:.3f} ms a cell, then {times[-1]:.3f}")
        ratio = theirs / times[-1]
        print(
            f"Hydra's multirun: {theirs:.0f} ms of CPU a job, {ratio:.0f} times as long as a cell of {what}"
        )
        if ratio < RATIO:
            failures.append(f"{what}: {ratio:.0f} times faster than Hydra is under {RATIO:.0f}")
    print("\n".join(failures) if failures else "all bounds hold")
    return 1 if failures else 0


def programs(sweep: Path, folder: Path, rounds: int) -> list[tuple[str, int, list[str]]]:
    """What is measured, how often, and its command, in this order."""
    results = str(folder / "results")
    plan = [sys.executable, "-m", "toolrl_cli", "plan", str(sweep), "--results", results]
    return [
        ("expand and plan", rounds, [sys.executable, "-c", OURS, str(sweep), results]),
        (FIRST, 1, plan),
        ("toolrl plan", rounds, plan),
        ("toolrl plan --json", rounds, [*plan, "--json"]),
    ]


def beyond(what: str, cells: int, took: Took) -> list[str]:
    """Which bounds do not hold."""
    failures = []
    if took.cpu > SECONDS.get(cells, float("inf")):
        failures.append(f"{what}, {cells} cells: {took.cpu:.1f} s of CPU is over {SECONDS[cells]:.0f}")
    if took.peak > PEAK_MB:
        failures.append(f"{what}, {cells} cells: {took.peak:.0f} MB is over {PEAK_MB:.0f}")
    if what.endswith("--json"):
        runs = len(json.loads(took.out)["runs"])
    elif what == "toolrl plan":
        runs = int(took.out.partition(": ")[2].partition(" runs")[0])
    else:
        runs = json.loads(took.out)["runs"]
    if runs != cells:
        failures.append(f"{what}: {runs} runs of {cells} cells")
    return failures


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
        [
            "name: grid",
            "base: {preset: tiny_grpo, rl.kl: in_loss}",
            "axes:",
            *lines,
            "evaluate: [toolworld]",
            "",
        ]
    )


def hydra_ms(jobs: int, folder: Path) -> float:
    """Milliseconds that each further job costs Hydra's multirun."""
    script = folder / "multirun.py"
    script.write_text(HYDRA, encoding="utf-8")
    few = max(2, jobs // 10)

    def seconds(count: int) -> float:
        values = ",".join(str(n) for n in range(count))
        command = [sys.executable, str(script), "-m", f"lr={values}", f"hydra.sweep.dir={folder}/multirun"]
        return min(timed(command, folder).cpu for _ in range(2))

    return 1000 * (seconds(jobs) - seconds(few)) / (jobs - few)


def timed(command: list[str], folder: Path) -> Took:
    """Run a command to its end.

    `toolrl plan` ends with 2 where the disk is too small for such a grid, when it has said everything else.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TOOLRL_CACHE": str(folder / "cache")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or each start would compile everything anew
    with (folder / "out").open("w+b") as out, (folder / "err").open("w+b") as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
        out.seek(0)
        err.seek(0)
        said, told = out.read().decode(), err.read().decode()
    if process.returncode and not (process.returncode == 2 and " of disk" in told):
        sys.exit(f"{command[:5]} failed:\n{told}")
    return Took(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, said)


if __name__ == "__main__":
    sys.exit(main())
