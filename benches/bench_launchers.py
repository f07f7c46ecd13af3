"""What it costs to go through a cluster's queue: submitting, polling, and a stage beside a bare `sbatch`.

    python benches/bench_launchers.py [STAGES]

On a real Slurm that is started here (tests/e2e/slurm_cluster.py says what it needs). Submitted jobs are held, so that
only the submission is measured. Exit status 1: a bound does not hold.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the cluster and the stages are the tests'
from tests.e2e.slurm_cluster import SlurmCluster, why_not
from tests.support.stages import FUNCTIONS, ROOT, Stages
from toolrl_cli.harness.detaching import detach
from toolrl_cli.harness.scheduling.scheduler import Scheduler
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.harness.slurm.launcher import SlurmLauncher
from toolrl_cli.harness.slurm.settings import SlurmSettings
from toolrl_cli.harness.starting import AttemptOptions
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger

SUBMITTED_S, AS_ARRAYS_S, POLLED_S, OVERHEAD = 30.0, 10.0, 0.5, 1.2
CHAIN = 5


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    if reason := why_not():
        print(f"not measured: {reason}")
        return 0
    with tempfile.TemporaryDirectory(prefix="slurm") as name:
        cluster = SlurmCluster(Path(name))
        os.environ.update(cluster.environment)
        os.chdir(ROOT)
        try:
            cluster.start()
            return measure(cluster, Path(name) / "stages", count)
        finally:
            cluster.stop()


def measure(cluster: SlurmCluster, folder: Path, count: int) -> int:
    stages, ledger = Stages(), Ledger(folder / "results")
    flags = ["--begin=now+1hour"]
    one_by_one = SlurmSettings(flags=flags, array=0, poll=0.2, delay=0.0)
    specs = [stages(f"s{n}") for n in range(count)]
    submitted = submit(specs, ledger, one_by_one)
    arrays = submit([stages(f"a{n}") for n in range(count)], ledger, SlurmSettings(flags=flags))

    bare = [["sbatch", "--parsable", *flags, "--output=/dev/null", "--wrap=true"]] * count
    began = time.perf_counter()
    for argv in bare:
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    plain = time.perf_counter() - began
    began = time.perf_counter()
    subprocess.run(
        [*bare[0][:-1], f"--array=0-{count - 1}", bare[0][-1]], check=True, stdout=subprocess.DEVNULL
    )
    plain_array = time.perf_counter() - began

    handles = [ledger.read(spec).launcher or {} for spec in specs]
    polled = []
    for _ in range(5):
        fresh = SlurmLauncher(one_by_one)
        fresh.poll(handles[:1])  # the cluster's name is asked once
        time.sleep(1.1)
        began = time.perf_counter()
        seen = fresh.poll(handles)
        polled.append(time.perf_counter() - began)
        assert all(one.phase == "queued" for one in seen)
    cluster.ask("scancel", f"--user={os.getuid()}")

    own, bare_chain = chain(stages, ledger), chain_bare(folder)
    load, share = os.getloadavg()[0], count / 500
    print(f"{count} stages, load {load:.1f}                   toolrl   bare sbatch   bound")
    print(f"submitted one by one, seconds   {submitted:14.1f} {plain:13.1f}   {SUBMITTED_S * share:.0f}")
    print(f"submitted as arrays, seconds    {arrays:14.1f} {plain_array:13.2f}   {AS_ARRAYS_S * share:.0f}")
    print(f"one poll of all, seconds        {min(polled):14.3f} {'':13}   {POLLED_S}")
    print(f"a chain of {CHAIN} stages, seconds    {own:14.1f} {bare_chain:13.1f}   x {OVERHEAD}")
    held = submitted <= SUBMITTED_S * share and arrays <= AS_ARRAYS_S * share
    return 0 if held and min(polled) <= POLLED_S and own <= OVERHEAD * bare_chain else 1


def submit(specs: list[StageSpec], ledger: Ledger, settings: SlurmSettings) -> float:
    """Seconds for all of them, which then wait."""
    launcher = SlurmLauncher(settings)
    began = time.perf_counter()
    done = detach(specs, ledger, launcher, AttemptOptions(alone=True))
    took = time.perf_counter() - began
    assert len(done.submitted) == len(specs)
    return took


def chain(stages: Stages, ledger: Ledger) -> float:
    """Seconds for stages that wait for each other, under a harness."""
    specs = [stages("c0")]
    for n in range(1, CHAIN):
        specs.append(stages(f"c{n}", after=(specs[-1],)))
    functions = {"export": f"{FUNCTIONS}:finish"}
    options = Options(functions=functions, heartbeat=0.5, progress_interval=0.2)
    launcher = SlurmLauncher(SlurmSettings(poll=0.2, delay=0.0))
    began = time.perf_counter()
    outcome = Scheduler(specs, ledger, launcher, options=options).run()
    assert outcome.exit_code == 0
    return time.perf_counter() - began


def chain_bare(folder: Path) -> float:
    """Seconds for jobs that wait for each other and each start the same interpreter for an attempt by hand."""
    stages, ledger = Stages(), Ledger(folder / "bare")
    argv = [sys.executable, "-m", "toolrl_cli.attempt.execution", "{}", "--function", f"{FUNCTIONS}:finish"]
    began, before = time.perf_counter(), ""
    for n in range(CHAIN):
        spec = stages(f"b{n}")
        stage = ledger.folder(spec)
        stage.path.mkdir(parents=True)
        stage.write_spec(spec)
        words = " ".join(argv).format(stage.path)
        after = [f"--dependency=afterok:{before}"] if before else []
        answer = subprocess.run(
            ["sbatch", "--parsable", "--output=/dev/null", *after, f"--wrap={words}"],
            check=True,
            capture_output=True,
            text=True,
        )
        before = answer.stdout.strip()
    while ledger.read(spec).status != "succeeded":
        time.sleep(0.05)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
