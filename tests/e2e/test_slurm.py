"""The Slurm launcher on a real Slurm, which the tests start themselves: two nodes with a GPU each."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.slurm_cluster import SlurmCluster, why_not
from tests.support.stages import FUNCTIONS, ROOT, Stages, eventually
from toolrl_cli.harness.detaching import detach
from toolrl_cli.harness.reach import Reach
from toolrl_cli.harness.scheduling import scheduler as scheduler_module
from toolrl_cli.harness.scheduling.events import Event, Outcome
from toolrl_cli.harness.scheduling.scheduler import Scheduler
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.harness.slurm import launcher as launcher_module
from toolrl_cli.harness.slurm.launcher import SlurmLauncher
from toolrl_cli.harness.slurm.settings import SlurmSettings
from toolrl_cli.harness.starting import AttemptOptions, Started, start_attempt
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import Handle, StageState

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(bool(why_not()), reason=f"no Slurm here: {why_not()}")]

QUICK = {"poll": 0.3, "delay": 0.5}
GPU = {"resources": {"device": "cuda"}}


class Site:
    """Stages on the cluster."""

    def __init__(self, slurm: SlurmCluster, ledger: Ledger, stages: Stages) -> None:
        self.slurm, self.ledger, self.stages = slurm, ledger, stages

    def training(self, name: str, steps: int = 3, seconds: float = 0.2) -> StageSpec:
        config = {"steps": steps, "step_seconds": seconds, **GPU}
        return self.stages(name, kind="rl", config=config, total_steps=steps)

    def run(
        self, specs: list[StageSpec], function: str = "train", **settings: Any
    ) -> tuple[Outcome, list[Event]]:
        events: list[Event] = []
        launcher = SlurmLauncher(SlurmSettings.model_validate({**QUICK, **settings}))
        options = Options(functions=functions(function), heartbeat=0.2, progress_interval=0.2)
        return Scheduler(specs, self.ledger, launcher, options=options, observe=events.append).run(), events

    def start(self, spec: StageSpec, function: str, **settings: Any) -> Handle:
        launcher = SlurmLauncher(SlurmSettings.model_validate({**QUICK, **settings}))
        options = AttemptOptions(functions(function), heartbeat=0.2)
        started = start_attempt(self.ledger.folder(spec), spec, launcher, (), options)
        assert isinstance(started, Started) and started.state.launcher is not None
        return started.state.launcher

    def state(self, spec: StageSpec) -> StageState:
        return self.ledger.read(spec)

    def running(self, spec: StageSpec, step: int = 0) -> None:
        def so_far() -> bool:
            state = self.state(spec)
            return state.status == "running" and (
                not step or bool(state.progress and state.progress.step >= step)
            )

        eventually(
            so_far,
            told=lambda: f"{self.state(spec)}\n{self.slurm.ask('squeue', '-t', 'all')}{self.slurm.logs()}",
        )

    def jobs(self, *specs: StageSpec) -> list[str]:
        """Comments of all jobs of these stages."""
        lines = self.slurm.ask("squeue", "-h", "-t", "all", "-O", "Comment:").split()
        return [line for line in lines if any(line.startswith(spec.id) for spec in specs)]


def functions(work: str) -> dict[str, str]:
    return {"rl": f"{FUNCTIONS}:{work}", "sft": f"{FUNCTIONS}:{work}", "export": f"{FUNCTIONS}:finish"}


@pytest.fixture
def site(slurm: SlurmCluster, ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(launcher_module, "DOWN", 0.5)
    monkeypatch.setattr(scheduler_module, "LATER", 0.5)
    return Site(slurm, ledger, stages)


def test_six_runs_on_two_gpus_outlive_their_harness_and_none_starts_twice(site: Site, tmp_path: Path) -> None:
    specs = [site.training(f"r{n}", steps=4) for n in range(6)]
    graph = tmp_path / "graph.json"
    graph.write_text(json.dumps([spec.to_json() for spec in specs]))
    argv = [sys.executable, "-m", "tests.support.harness", str(site.ledger.results), str(graph), "1"]
    argv += ["--slurm", json.dumps(QUICK)]
    first = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL)
    eventually(lambda: any(site.state(spec).status == "running" for spec in specs))
    time.sleep(0.5)
    first.kill()
    first.wait()
    most = 0
    second = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL)
    while second.poll() is None:
        most = max(most, sum(site.state(spec).status == "running" for spec in specs))
        time.sleep(0.1)
    assert second.returncode == 0
    assert [site.state(spec).status for spec in specs] == ["succeeded"] * 6
    assert len(set(site.jobs(*specs))) == len(site.jobs(*specs)) == 6
    assert 1 <= most <= 2


def test_a_graph_runs_to_its_end_without_any_harness(site: Site) -> None:
    a = site.training("a")
    b = site.stages("b", after=(a,))
    c = site.stages("c", after=(a, b))
    launcher = SlurmLauncher(SlurmSettings.model_validate(QUICK))
    done = detach([a, b, c], site.ledger, launcher, AttemptOptions(functions("train"), alone=True))
    assert done.submitted == [a.id, b.id, c.id]
    eventually(lambda: site.state(c).status == "succeeded")
    outcome, events = site.run([a, b, c])
    assert outcome.exit_code == 0 and not any(event.what == "started" for event in events)


def test_an_array_is_followed_and_ended_task_by_task(site: Site) -> None:
    """Slurm 22.05 cancels all tasks that wait where one is cancelled with a filter, and forgets that one."""
    trainings = [site.training(f"t{n}", steps=12) for n in range(4)]  # two run, two wait
    exports = [site.stages(f"e{n}", after=(spec,)) for n, spec in enumerate(trainings)]
    launcher = SlurmLauncher(SlurmSettings.model_validate({**QUICK, "array": 2}))
    detach(
        [*trainings, *exports],
        site.ledger,
        launcher,
        AttemptOptions(functions("train"), heartbeat=0.2, alone=True),
    )
    handles = [site.state(spec).launcher or {} for spec in trainings]
    assert len({str(handle["job"]).partition("_")[0] for handle in handles}) == 1
    for spec in trainings[:2]:
        site.running(spec, step=2)
    assert Reach().cancel(handles[3])
    eventually(lambda: launcher.poll([handles[3]])[0].phase == "ended")
    seen = launcher.poll(handles)
    assert [one.alive for one in seen] == [True, True, True, False]
    assert seen[3].failure is not None and seen[3].failure.kind == "killed"
    site.slurm.ask("scancel", "--signal=USR1", "--batch", str(handles[0]["job"]))
    eventually(lambda: all(site.state(spec).status == "succeeded" for spec in exports[:3]))
    assert [site.state(spec).attempt for spec in trainings[:3]] == [2, 1, 1]
    last = site.state(exports[3]).launcher or {}
    eventually(lambda: launcher.poll([last])[0].phase == "ended")
    assert site.state(exports[3]).status == "queued"
    assert "writing to" in (site.ledger.folder(trainings[1]).attempt(1) / "slurm.txt").read_text()


def test_a_job_is_stopped_in_good_order_and_goes_on_from_its_checkpoint(site: Site) -> None:
    spec = site.training("a", steps=40)
    handle = site.start(spec, "train")
    site.running(spec, step=2)
    assert Reach().cancel(handle)
    eventually(lambda: site.state(spec).status == "stopped")
    assert [attempt.status for attempt in site.state(spec).attempts] == ["stopped"]


def test_the_end_of_its_time_and_a_pre_emption_become_the_next_attempt(site: Site) -> None:
    ended, taken = site.training("ended", steps=30), site.training("taken", steps=30)
    handles = [site.start(spec, "train", partition="low") for spec in (ended, taken)]
    for spec in (ended, taken):
        site.running(spec, step=2)
    site.slurm.ask("scancel", "--signal=USR1", "--batch", str(handles[0]["job"]))
    eventually(lambda: site.state(ended).status == "stopped" or site.state(ended).attempt == 2)
    urgent = [site.training("urgent1"), site.training("urgent2")]
    outcome, _ = site.run(urgent, partition="main")
    assert outcome.exit_code == 0
    eventually(lambda: all(site.state(spec).status == "succeeded" for spec in (ended, taken)))
    for spec in (ended, taken):
        state = site.state(spec)
        assert [attempt.status for attempt in state.attempts] == ["stopped", "succeeded"]
        log = (site.ledger.folder(spec).attempt(2) / "log.txt").read_text()
        assert "going on from step" in log


def test_nothing_starts_twice_while_the_controller_is_down(site: Site) -> None:
    specs = [site.training(f"d{n}", steps=n, seconds=0.4) for n in (22, 23, 3)]
    outcome: list[Outcome] = []
    work = threading.Thread(target=lambda: outcome.append(site.run(specs)[0]))
    work.start()
    try:
        for spec in specs[:2]:
            site.running(spec)
        site.slurm.save()
        site.slurm.kill_controller()
        time.sleep(1.0)
    finally:
        site.slurm.start_controller()
    work.join(90)
    assert [o.exit_code for o in outcome] == [0]
    assert len(site.jobs(*specs)) == 3
    assert [[a.status for a in site.state(spec).attempts] for spec in specs] == [["succeeded"]] * 3


def test_a_job_that_never_starts_is_told_of_and_can_be_stopped(site: Site) -> None:
    spec = site.training("held")
    handle = site.start(spec, "train", flags=["--begin=now+1hour"])
    site.slurm.ask("scontrol", "hold", str(handle["job"]))
    launcher = SlurmLauncher()
    (seen,) = launcher.poll([handle])
    assert seen.phase == "queued" and "waits: JobHeld" in seen.told
    assert Reach().cancel(handle)
    eventually(lambda: launcher.poll([handle])[0].phase == "ended")
    (seen,) = launcher.poll([handle])
    assert seen.failure is not None and seen.failure.kind == "killed"


def test_the_job_of_a_node_that_fails_goes_on_elsewhere(site: Site) -> None:
    site.slurm.until_idle()
    spec = site.training("a", steps=20)
    handle = site.start(spec, "train")
    site.running(spec, step=2)
    node = site.slurm.ask("squeue", "-h", "-j", str(handle["job"]), "-o", "%N").strip()
    try:
        site.slurm.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        eventually(lambda: site.state(spec).status == "succeeded")
    finally:
        site.slurm.ask("scontrol", "update", f"nodename={node}", "state=resume")
    assert site.state(spec).attempt == 2
