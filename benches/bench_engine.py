"""What the engine costs: harness time a stage, gaps between attempts, a large ledger, idle slots.

    python benches/bench_engine.py [--stages 1000] [--submitit 1000] [--ledger 10000]

1. Stages of no work on two slots, by toolrl, by plain Ray tasks, and by submitit's local executor where that is
   installed, one after the other in this one run. toolrl and submitit start a Python a stage and leave a record
   of it; toolrl also locks the slots, as `toolrl sweep` does; Ray keeps its workers and leaves none. submitit
   takes 0.25 to 0.6 s a stage, so minutes for 1,000: `--submitit 150` times it on fewer. The harness's own CPU time is
   that of its process alone, children not counted; the gap is from the end of one attempt to the start of the
   next on the same slot.
2. `toolrl status` on a sweep of many stages.
3. A sweep of 200 stages with drawn durations, on simulated time: makespan against its lower bound (all work
   spread over the slots, or the longest chain).

Exit status 1: a bound does not hold. Times of the first part need a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the launcher on simulated time is the tests'
from tests.spec.conftest import FixedFacts
from tests.support.fake_launcher import FakeLauncher
from toolrl_cli.harness.scheduling.priorities import chain_lengths
from toolrl_cli.harness.scheduling.scheduler import Scheduler
from toolrl_cli.planning.plan import lay_out
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps.resolve import resolve_runs
from toolrl_cli.spec.sweeps.sweep import read_sweep
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import StageState
from toolrl_cli.store.sweep_folder import SweepFolder

ROOT = Path(__file__).resolve().parents[1]
CPU_MS, GAP_S, STATUS_S, MAKESPAN = 5.0, 0.3, 1.0, 1.05
SLOTS = 2
LARGE = """
name: large
base: {{preset: tiny_grpo, train: [sft, rl]}}
seeds: {{range: [0, {seeds}]}}
evaluate: [toolworld]
"""
LEFT: dict[str, tuple[str, ...]] = {
    "export": (
        *("checkpoint.json", "model/config.json", "model/generation_config.json", "model/model.safetensors"),
        *("model/tokenizer.json", "model/tokenizer_config.json", "model/chat_template.jinja"),
    ),
    "evaluate": ("scores.json", "items.jsonl"),
}
"""What a stage leaves in `output/`, as a small model's has it."""

OURS = """
import json, resource, sys
from pathlib import Path
from toolrl_cli.harness.launchers.local import LocalLauncher
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.harness.scheduling.scheduler import Scheduler
from toolrl_cli.processes.slot_locks import SlotLocks
from toolrl_cli.spec.stage import StageSpec

before = resource.getrusage(resource.RUSAGE_SELF)
specs = [StageSpec(f"s-{n:05d}", "export", {"n": n}) for n in range(int(sys.argv[2]))]
options = Options(functions={"export": "tests.support.stage_functions:finish"})
ledger = Ledger(Path(sys.argv[1]))
launcher = LocalLauncher(["a", "b"], locks=SlotLocks("the bench", Path(sys.argv[1], "slots")))
outcome = Scheduler(specs, ledger, launcher, options=options).run()
after = resource.getrusage(resource.RUSAGE_SELF)
assert outcome.exit_code == 0, outcome
print(json.dumps(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
"""

RAY = """
import json, resource, sys
import ray

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)

@ray.remote(num_cpus=1)
def stage(n):
    return n

before = resource.getrusage(resource.RUSAGE_SELF)
assert sorted(ray.get([stage.remote(n) for n in range(int(sys.argv[2]))])) == list(range(int(sys.argv[2])))
after = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
"""

SUBMITIT = """
import json, resource, sys, time
import submitit

def stage(n):
    return n

before = resource.getrusage(resource.RUSAGE_SELF)
executor = submitit.LocalExecutor(folder=sys.argv[1])
executor.update_parameters(timeout_min=60)
waiting, running = list(range(int(sys.argv[2]))), []
while waiting or running:
    while waiting and len(running) < 2:
        running.append(executor.submit(stage, waiting.pop(0)))
    running = [job for job in running if not job.done()]
    time.sleep(0.01)  # it has nothing to wait on
after = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stages", type=int, default=1000, help="stages of no work")
    parser.add_argument("--submitit", type=int, help="stages of no work for submitit (default: as many)")
    parser.add_argument("--ledger", type=int, default=10_000, help="stages in the large sweep")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        held = [
            stages_of_no_work(Path(folder) / "work", options.stages, options.submitit or options.stages),
            large_sweep(Path(folder) / "ledger", options.ledger),
            simulated_sweep(Path(folder) / "sweep"),
        ]
    return 0 if all(held) else 1


def stages_of_no_work(folder: Path, count: int, for_submitit: int) -> bool:
    print(f"{count} stages of no work on {SLOTS} slots")
    print(
        f"  {'':10} {'all':>8} {'a stage':>10} {'harness CPU a stage':>20} {'gap median':>11} {'gap p95':>9}"
    )
    wall, cpu = measure(OURS, folder, count)
    gaps = sorted(gaps_between_attempts(Ledger(folder)))
    p95 = gaps[int(0.95 * len(gaps))]
    row("toolrl", wall, cpu, count, f"{statistics.median(gaps):9.3f} s {p95:7.3f} s")
    row("ray tasks", *measure(RAY, folder, count), count)
    if importlib.util.find_spec("submitit"):
        note = f"on {for_submitit} stages" if for_submitit != count else ""
        row("submitit", *measure(SUBMITIT, folder / "submitit", for_submitit), for_submitit, note)
    else:
        print("  submitit   is not installed (`pip install submitit`)")
    return verdict(
        (cpu / count * 1000 <= CPU_MS, f"harness CPU at most {CPU_MS:g} ms a stage"),
        (p95 <= GAP_S, f"p95 of the gaps at most {GAP_S:g} s"),
    )


def measure(program: str, folder: Path, count: int) -> tuple[float, float]:
    """Wall seconds of the program, start-up included, and CPU seconds of its work in its own process."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    argv = [sys.executable, "-c", program, str(folder), str(count)]
    answer = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - began, float(json.loads(answer.stdout.strip().splitlines()[-1]))


def row(name: str, wall: float, cpu: float, count: int, rest: str = "") -> None:
    print(f"  {name:10} {wall:6.1f} s {wall / count * 1000:7.1f} ms {cpu / count * 1000:17.2f} ms {rest}")


def gaps_between_attempts(ledger: Ledger) -> list[float]:
    """Seconds from the end of an attempt to the start of the next on its slot."""
    by_slot: dict[str, list[StageState]] = {}
    for state in ledger.states():
        assert state.launcher is not None
        by_slot.setdefault(state.launcher["slots"][0], []).append(state)
    gaps = []
    for states in by_slot.values():
        states.sort(key=lambda state: state.started or 0.0)
        gaps += [(b.started or 0.0) - (a.ended or 0.0) for a, b in itertools.pairwise(states)]
    return gaps


def large_sweep(folder: Path, count: int) -> bool:
    """`toolrl status`, whole command, on a sweep of the tiny preset: seven stages a run, five of them its own."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "large.yaml"
    file.write_text(LARGE.format(seeds=count // 5))
    runs = [
        PlannedRun("large", run.id, run.arm, run.seed, {}, tuple(run_stages(run.spec, FixedFacts())))
        for run in resolve_runs(read_sweep(file))
    ]
    count = len({stage.id for run in runs for stage in run.stages})
    ledger = Ledger(folder)
    SweepFolder(folder, "large").save(lay_out("large", runs, ledger), None)
    state = StageState("x", "rl").begun(1, {"kind": "local", "pid": 1}).running({"kind": "local", "pid": 1})
    state = StageState.from_json(
        state.to_json() | {"progress": {"step": 3, "total": 9, "metrics": {"r": 0.5}}}
    )
    for stage in {stage.id: stage for run in runs for stage in run.stages}.values():
        place = ledger.folder(stage).path
        left = LEFT.get(stage.kind, ())
        for name in left:
            (place / "output" / name).parent.mkdir(parents=True, exist_ok=True)
            (place / "output" / name).write_text("{}")
        place.mkdir(parents=True, exist_ok=True)
        over = state.over("succeeded", output=dict.fromkeys(left, 2))
        (place / "state.json").write_text(json.dumps(over.to_json(), indent=1))
    argv = [sys.executable, "-m", "toolrl_cli", "status", "large", "--results", str(folder)]
    wall, cpu = [], []
    for _ in range(3):
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        said = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - began)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert len(said.splitlines()) == len(runs) + 2, said[:500]
    seconds = statistics.median(wall)
    print(f"status of {count} stages: {seconds:.2f} s, {statistics.median(cpu):.2f} s of CPU (median of 3)")
    return verdict((seconds * 10_000 / count <= STATUS_S, f"10,000 stages within {STATUS_S:g} s"))


def simulated_sweep(folder: Path, slots: int = 8) -> bool:
    """Eight SFT stages, then 64 chains of rl → export → evaluate over them: 200 stages."""
    dice = random.Random(2025)
    specs: list[StageSpec] = [StageSpec(f"sft-{n}", "sft", {"n": n}) for n in range(8)]
    for n in range(64):
        rl = StageSpec(f"rl-{n}", "rl", {"n": n}, {"model": specs[n % 8].id})
        export = StageSpec(f"export-{n}", "export", {"n": n}, {"checkpoint": rl.id})
        specs += [rl, export, StageSpec(f"evaluate-{n}", "evaluate", {"n": n}, {"model": export.id})]
    typical = {"sft": 1800.0, "rl": 14_400.0, "export": 120.0, "evaluate": 1500.0}
    seconds = {spec.id: typical[spec.kind] * dice.lognormvariate(0.0, 0.35) for spec in specs}
    guess = {spec.id: seconds[spec.id] * dice.uniform(0.7, 1.3) for spec in specs}
    launcher = FakeLauncher([f"{n}" for n in range(slots)], seconds=seconds.__getitem__)
    scheduler = Scheduler(
        specs, Ledger(folder), launcher, seconds=lambda spec: guess[spec.id], clock=launcher.clock
    )
    assert scheduler.run().exit_code == 0
    chain = max(chain_lengths(specs, lambda spec: seconds[spec.id]).values())
    bound = max(sum(seconds.values()) / slots, chain)
    ratio = launcher.now / bound
    hours = launcher.now / 3600
    print(f"{len(specs)} stages on {slots} simulated slots: {hours:.1f} h, {ratio:.3f} times the lower bound")
    return verdict((ratio <= MAKESPAN, f"at most {MAKESPAN:g} times the lower bound"))


def verdict(*bounds: tuple[bool, str]) -> bool:
    for held, said in bounds:
        print(f"  {'holds' if held else 'DOES NOT HOLD'}: {said}")
    return all(held for held, _ in bounds)


if __name__ == "__main__":
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    sys.exit(main())
