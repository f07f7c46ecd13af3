"""10,000 stages on 512 GPUs, with failures, pre-emption and time limits: toolrl beside a script of `sbatch` lines.

    python benches/bench_cluster.py [STAGES]

The cluster is played through (`cluster_simulation.py`), with the same faults for both. Of toolrl what runs is its own:
the scheduler, its retries and pauses, the ledger and its leases, the Slurm launcher with its arrays, its reading of
`squeue`, and the exclusion of nodes. Modelled are Slurm's programs, which the launcher asks here, and what an attempt
does on its node: it works, keeps what its last checkpoint has, stops when Slurm warns it, and goes on in the same job.

The script submits every stage once, each after its inputs (`afterok`), with `--requeue`; verl goes on from its last
checkpoint there too. What failed or ran into its limit waits for a person, who looks every so many hours, submits it
again with what depends on it, and excludes nodes on which three jobs have failed since the last look.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[1])
)  # the cluster is beside this file, the configs the tests'
from cluster_simulation import HOUR, Cluster, Ending, Faults, Job, Work, works

from tests.support.configs import whole_config
from toolrl_cli.attempt.adjusting import next_adjust
from toolrl_cli.attempt.beginning import cleared, new_attempt
from toolrl_cli.attempt.ending import record_end
from toolrl_cli.attempt.environment import describe_environment
from toolrl_cli.harness.scheduling.events import Event
from toolrl_cli.harness.scheduling.scheduler import Scheduler
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.harness.slurm import forgotten as forgotten_module
from toolrl_cli.harness.slurm import launcher as launcher_module
from toolrl_cli.harness.slurm.arrays import TASKS
from toolrl_cli.harness.slurm.launcher import SlurmLauncher
from toolrl_cli.harness.slurm.settings import SlurmSettings
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store import lease as leases
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.files import read_json, write_json
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.state import Handle

NODES, GPUS = 64, 8
AS_FAST = 1.02
"""Bound: how much longer it may take than under a person who looks once an hour, day and night."""
REQUEUE = 120.0
"""Seconds that Slurm lets a job wait that was put back into the queue."""
POLL = 120.0
"""Seconds between two looks of the harness, where its own way would be more often."""
MIN_JOB_AGE = 300.0
"""Seconds for which it knows a job that has ended."""
INFRA = Failure.of("infra", "NCCL error: unhandled system error")


@dataclass
class Result:
    """What came of it; times in hours.

    Attributes:
        took: until the last stage was done.
        available, useful, lost: GPU-hours: of the nodes that could be had, of work that counts, and of work and
            starts that do not.
        starts: of jobs.
        hands: how often a person had to do something.
    """

    name: str
    took: float
    available: float
    useful: float
    lost: float
    starts: int
    hands: int
    more: str = ""

    def line(self) -> str:
        share = self.useful / self.available
        return (
            f"{self.name:<34} {self.took:8.1f} {share:9.1%} {self.useful:10.0f} {self.lost:10.0f} "
            f"{self.available - self.useful - self.lost:10.0f} {self.starts:8} {self.hands:7}"
        )


HEAD = (
    f"{'':34} {'hours':>8} {'useful':>9} {'GPU-h':>10} {'lost':>10} {'idle':>10} {'starts':>8} {'hands':>7}"
)


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(f"{count} stages on {NODES} nodes of {GPUS} GPUs; {Faults()}\n\n{HEAD}")
    results = []
    for hours in (24, 8, 1):
        results.append(scripted(count, hours * HOUR))
        print(results[-1].line(), flush=True)
    began = time.perf_counter()
    own = harnessed(count)
    print(own.line())
    print(f"\n{own.more}\nplayed in {time.perf_counter() - began:.0f} s")
    quick = own.took <= AS_FAST * min(result.took for result in results)
    return 0 if quick and own.lost <= min(result.lost for result in results) and own.hands == 0 else 1


def result(name: str, cluster: Cluster, runs: Sequence[Sequence[Work]], hands: int, more: str = "") -> Result:
    every = [work for run in runs for work in run]
    assert all(work.done for work in every)
    useful, lost = (sum(getattr(work, what) for work in every) / HOUR for what in ("useful", "lost"))
    starts = sum(work.starts for work in every)
    return Result(name, cluster.now / HOUR, cluster.available / HOUR, useful, lost, starts, hands, more)


# the script


class Script:
    """The lines of `sbatch`, and the person who looks after them."""

    def __init__(self, cluster: Cluster, runs: Sequence[Sequence[Work]], look: float) -> None:
        self.cluster, self.look = cluster, look
        self.hands, self.left = 0, sum(len(run) for run in runs)
        self.runs = runs
        self.excluded: frozenset[str] = frozenset()
        self._failed: list[tuple[Sequence[Work], int]] = []  # run, and its stage that needs a person
        self._on: Counter[str] = Counter()
        for run in runs:
            self.submit(run, 0)
        cluster.after(look, self.look_after)

    def submit(self, run: Sequence[Work], stage: int) -> None:
        """One job; what depends on it starts by itself once it has succeeded."""
        work, where = run[stage], [""]

        def over(ending: Ending) -> None:
            if ending == "completed":
                self.left -= 1
                for after in {0: (1,), 1: (2, 3)}.get(stage, ()):
                    self.submit(run, after)
            elif ending in ("node", "preempted"):
                self.cluster.after(REQUEUE, lambda: self.cluster.submit(job, again=True))
            else:
                self._on[where[0]] += ending == "failed"
                self._failed.append((run, stage))

        job = Job(work, over, lambda node: where.__setitem__(0, node), self.excluded)
        self.cluster.submit(job)

    def look_after(self) -> None:
        """Submit again what failed, and leave out nodes that fail jobs."""
        failed, self._failed = self._failed, []
        bad = frozenset(node for node, failures in self._on.items() if failures >= 3)
        self._on.clear()
        self.hands += bool(failed)
        if bad - self.excluded:
            self.excluded |= bad
            self.cluster.excluded_anew(bad)  # scontrol update, for those that wait
        for run, stage in failed:
            self.submit(run, stage)
        if self.left:
            self.cluster.after(self.look, self.look_after)


def scripted(count: int, look: float) -> Result:
    cluster = Cluster(NODES, GPUS, Faults())
    runs = list(works(count))
    script = Script(cluster, runs, look)
    while script.left:
        cluster.advance(cluster.now + 60.0)
    return result(f"sbatch lines, seen every {look / HOUR:.0f} h", cluster, runs, script.hands)


# toolrl


@dataclass
class SlurmJob:
    """A job as Slurm's programs tell of it."""

    number: str
    name: str
    comment: str
    folder: StageFolder
    attempt: int
    job: Job
    state: str = "PENDING"
    status: int = 0
    ended: float = 0.0
    restarts: int = 0
    node: str = ""


@dataclass
class Programs:
    """Slurm's programs, as the launcher asks them, and what the jobs do."""

    cluster: Cluster
    work: Mapping[str, Work]
    jobs: dict[str, SlurmJob] = field(default_factory=dict)
    numbers: int = 0
    calls: Counter[str] = field(default_factory=Counter)

    def ask(self, program: str, *arguments: str, script: str | None = None, said: bool = False) -> str:
        """See `harness.slurm.programs.ask`."""
        self.calls[program] += 1
        options = dict(word[2:].partition("=")[::2] for word in arguments if word.startswith("--"))
        if program == "sbatch":
            return self._submit(options, script or "")
        if program == "squeue":
            return self._listed(options, arguments[arguments.index("-O") + 1])
        if arguments[:2] == ("show", "config"):
            return "ClusterName = simulated\nMaxArraySize = 1001\n"
        if program == "scontrol" and arguments[0] == "update":
            self.cluster.excluded_anew(
                frozenset(dict(a.split("=") for a in arguments[1:])["ExcNodeList"].split(","))
            )
        return ""

    def _submit(self, options: Mapping[str, str], script: str) -> str:
        self.numbers += 1
        words = shlex.split(script.strip().splitlines()[-1])
        module = words.index("-m") + 1
        if words[module].endswith(".task"):
            listed = (read_json(Path(words[module + 1]) / TASKS) or {})["tasks"]
            for index, task in listed.items():
                self._queue(f"{self.numbers}_{index}", task["argv"], options)
        else:
            self._queue(str(self.numbers), words[module + 1 :], options)
        return f"{self.numbers}\n"

    def _queue(self, number: str, argv: Sequence[str], options: Mapping[str, str]) -> None:
        folder, attempt = StageFolder(Path(argv[0])), int(argv[argv.index("--attempt") + 1])
        excluded = frozenset(filter(None, options.get("exclude", "").split(",")))
        work = self.work[folder.id]
        asked = int(options.get("gres", "gpu:0").rpartition(":")[2])
        assert asked == work.gpus, (asked, work)
        of_slurm = SlurmJob(
            number,
            options["job-name"],
            options["comment"],
            folder,
            attempt,
            Job(
                work,
                lambda ending: self._over(of_slurm, ending),
                lambda node: self._begun(of_slurm, node),
                excluded,
                warned=True,
            ),
        )
        self.jobs[number] = of_slurm
        self.cluster.submit(of_slurm.job)

    def _listed(self, options: Mapping[str, str], shown: str) -> str:
        names = [name.partition(":")[0] for name in shown.split(",")]
        old = self.cluster.now - MIN_JOB_AGE
        for number in [n for n, job in self.jobs.items() if job.ended and job.ended < old]:
            del self.jobs[number]
        wanted = options["name"].split(",") if "name" in options else None
        rows = []
        for job in self.jobs.values():
            if wanted is None or job.name in wanted:
                said = {
                    **{"JobID": job.number, "JobArrayID": job.number, "State": job.state},
                    **{"exit_code": str(job.status << 8), "Reason": "Priority", "Comment": job.comment},
                    **{"Name": job.name, "NodeList": job.node},
                }
                rows.append("|".join(said[name] for name in names))
        return "\n".join(rows)

    # what `harness.slurm.job` and the attempt do

    def _begun(self, of_slurm: SlurmJob, node: str) -> None:
        folder, of_slurm.node, of_slurm.state = of_slurm.folder, node, "RUNNING"
        with leases.take(folder.path, purpose="attempt") as lease:
            state = folder.state()
            handle = state.launcher
            assert handle is not None and handle["job"] == of_slurm.number, (handle, of_slurm)
            if of_slurm.restarts:  # the next attempt begins in the job, without a harness
                if state.active:
                    state = record_end(folder, lease, state)
                state = cleared(folder, lease, state)
                number = new_attempt(folder, state)
                state = state.begun(number, handle, next_adjust(folder.spec(), state))
            else:
                assert (state.attempt, state.status) == (of_slurm.attempt, "queued")
            folder.write_state(state.running(handle), lease)

    def _over(self, of_slurm: SlurmJob, ending: Ending) -> None:
        if ending == "completed":
            self._write(of_slurm.folder, "succeeded")
            of_slurm.state, of_slurm.ended = "COMPLETED", self.cluster.now
        elif ending == "failed":
            self._write(of_slurm.folder, "failed", of_slurm.node)
            of_slurm.state, of_slurm.status, of_slurm.ended = "FAILED", 1, self.cluster.now
        else:
            if ending != "node":  # a job whose node crashes writes nothing
                self._write(of_slurm.folder, "stopped")
            of_slurm.state, of_slurm.restarts = "PENDING", of_slurm.restarts + 1
            self.cluster.after(REQUEUE, lambda: self.cluster.submit(of_slurm.job, again=True))

    def _write(self, folder: StageFolder, status: str, node: str = "") -> None:
        with leases.take(folder.path, purpose="attempt") as lease:
            state = folder.state()
            if node:
                named = {**describe_environment({}), "environment": {"SLURMD_NODENAME": node}}
                write_json(folder.attempt(state.attempt) / "environment.json", named, durable=False)
            failure = INFRA if status == "failed" else None
            folder.write_state(state.over(status, failure), lease)  # type: ignore[arg-type]


class SimulatedLauncher(SlurmLauncher):
    """The Slurm launcher in simulated time."""

    def __init__(self, cluster: Cluster, settings: SlurmSettings) -> None:
        super().__init__(settings)
        self._cluster_now = cluster

    def wait(self, handles: Sequence[Handle], wake: int, timeout: float) -> None:
        """See `Launcher.wait`."""
        self._watched = len(handles)
        self._cluster_now.advance(self._cluster_now.now + min(max(timeout, 1.0), self.interval))


def stages_of(run: Sequence[Work]) -> list[StageSpec]:
    rl, export, *evaluations = run

    def stage(work: Work, kind: str, after: str = "") -> StageSpec:
        resources = {} if kind == "export" else {"resources": {"device": "cuda"}}
        inputs = {"model": after} if after else {}
        slots = max(1, work.gpus)
        return StageSpec(work.name, kind, {"name": work.name}, inputs, whole_config(kind, resources), slots)

    first = [stage(rl, "rl"), stage(export, "export", rl.name)]
    return [*first, *(stage(work, "evaluate", export.name) for work in evaluations)]


def harnessed(count: int) -> Result:
    cluster = Cluster(NODES, GPUS, Faults())
    runs = list(works(count))
    programs = Programs(cluster, {work.name: work for run in runs for work in run})
    vars(launcher_module).update(ask=programs.ask, FRESH=0.0)
    vars(forgotten_module).update(time=Clock(cluster))
    told: Counter[str] = Counter()

    def observe(event: Event) -> None:
        told[event.what] += 1

    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="toolrl", dir=shared if shared.is_dir() else None) as folder:
        ledger = Ledger(Path(folder) / "results")
        specs = [spec for run in runs for spec in stages_of(run)]
        settings = SlurmSettings(poll=POLL, delay=5.0)
        hands = 0
        while True:
            launcher = SimulatedLauncher(cluster, settings)
            options = Options(progress_interval=HOUR)
            scheduler = Scheduler(
                specs, ledger, launcher, options=options, observe=observe, clock=lambda: cluster.now
            )
            outcome = scheduler.run()
            if outcome.exit_code == 0:
                break
            hands += 1  # the command again
            print(
                f"  again after {cluster.now / HOUR:.0f} h: {outcome.paused or Counter(outcome.stages.values())}"
            )
    excluded = ", ".join(launcher._bad.excluded()) or "none"
    more = (
        f"toolrl: {dict(told)}; calls: {dict(programs.calls)}; nodes excluded: {excluded} "
        f"({', '.join(node.name for node in cluster.nodes if node.bad)} were bad)"
    )
    return result("toolrl sweep --launcher slurm", cluster, runs, hands, more)


class Clock:
    """`time` for a module that watches heartbeats."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def monotonic(self) -> float:
        """Simulated seconds."""
        return self._cluster.now


if __name__ == "__main__":
    os.environ.pop("SLURM_JOB_ID", None)
    sys.exit(main())
