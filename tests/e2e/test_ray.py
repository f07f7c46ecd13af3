"""The Ray launcher on a real Ray, which the tests start themselves: one node with two made-up GPUs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.ray_cluster import RayCluster
from tests.support.stages import FUNCTIONS, ROOT, Stages, eventually
from toolrl_cli.harness.launcher import LaunchRequest
from toolrl_cli.harness.ray import view
from toolrl_cli.harness.ray.launcher import RayLauncher, attempt_dir
from toolrl_cli.harness.ray.settings import RaySettings
from toolrl_cli.harness.reach import Reach
from toolrl_cli.harness.scheduling import scheduler as scheduler_module
from toolrl_cli.harness.scheduling.events import Event, Outcome
from toolrl_cli.harness.scheduling.retries import Policy, Retry
from toolrl_cli.harness.scheduling.scheduler import Scheduler
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.harness.starting import AttemptOptions, Started, start_attempt
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.files import read_json
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import Handle, StageState

pytestmark = pytest.mark.e2e

GPU = {"resources": {"device": "cuda"}}


@pytest.fixture(scope="module")
def ray() -> Iterator[RayCluster]:
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        cluster = RayCluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


class Site:
    """Stages on the cluster."""

    def __init__(self, ray: RayCluster, ledger: Ledger, stages: Stages) -> None:
        self.ray, self.ledger, self.stages = ray, ledger, stages
        self.settings = {"address": ray.address, "token_file": str(ray.token_file), "poll": 0.3, "delay": 0.2}

    def training(self, name: str, steps: int = 3, seconds: float = 0.2) -> StageSpec:
        config = {"steps": steps, "step_seconds": seconds, **GPU}
        return self.stages(name, kind="rl", config=config, total_steps=steps)

    def launcher(self) -> RayLauncher:
        return RayLauncher(RaySettings.model_validate(self.settings))

    def run(self, specs: list[StageSpec]) -> tuple[Outcome, list[Event]]:
        events: list[Event] = []
        options = Options(functions={"rl": f"{FUNCTIONS}:train"}, heartbeat=0.2, progress_interval=0.2)
        policy = Policy(retries={kind: Retry(times=5, wait=0.3) for kind in ("infra", "preempted", "killed")})
        scheduler = Scheduler(
            specs, self.ledger, self.launcher(), policy=policy, options=options, observe=events.append
        )
        return scheduler.run(), events

    def start(self, spec: StageSpec, function: str = "train") -> Handle:
        options = AttemptOptions({"rl": f"{FUNCTIONS}:{function}"}, heartbeat=0.2)
        started = start_attempt(self.ledger.folder(spec), spec, self.launcher(), (), options)
        assert isinstance(started, Started) and started.state.launcher is not None
        return started.state.launcher

    def state(self, spec: StageSpec) -> StageState:
        return self.ledger.read(spec)

    def seen(self, handle: Handle) -> str:
        return self.launcher().poll([handle])[0].phase

    def harness(self, specs: list[StageSpec], folder: Path) -> subprocess.Popen[bytes]:
        graph = folder / "graph.json"
        graph.write_text(json.dumps([spec.to_json() for spec in specs]))
        argv = [sys.executable, "-m", "tests.support.harness", str(self.ledger.results), str(graph), "1"]
        return subprocess.Popen(
            [*argv, "--ray", json.dumps(self.settings)], cwd=ROOT, stdout=subprocess.DEVNULL
        )

    def tries(self, specs: list[StageSpec]) -> list[list[str]]:
        return [[attempt.status for attempt in self.state(spec).attempts] for spec in specs]


@pytest.fixture
def site(ray: RayCluster, ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(view, "DOWN", 0.5)
    monkeypatch.setattr(scheduler_module, "LATER", 0.5)
    return Site(ray, ledger, stages)


def test_six_runs_on_two_gpus_outlive_their_harness_and_two_of_them_start_nothing_twice(
    site: Site, tmp_path: Path
) -> None:
    specs = [site.training(f"r{n}") for n in range(6)]
    first = site.harness(specs, tmp_path)
    eventually(lambda: any(site.state(spec).status == "running" for spec in specs))
    first.kill()
    first.wait()
    most = 0
    both = [site.harness(specs, tmp_path) for _ in range(2)]
    while any(harness.poll() is None for harness in both):
        most = max(most, sum(site.state(spec).status == "running" for spec in specs))
        time.sleep(0.1)
    assert [harness.returncode for harness in both] == [0, 0]
    assert site.tries(specs) == [["succeeded"]] * 6
    assert 1 <= most <= 2
    written = [read_json(site.ledger.folder(spec).attempt(1) / "environment.json") or {} for spec in specs]
    assert {found["devices"] for found in written} <= {"0", "1"}
    assert not any("RAY_ADDRESS" in found["environment"] for found in written)


def test_a_queued_job_that_is_cancelled_does_nothing_when_its_turn_comes(site: Site) -> None:
    long = [site.training(f"l{n}", steps=100, seconds=0.5) for n in range(2)]
    handles = [site.start(spec) for spec in long]
    eventually(lambda: all(site.state(spec).status == "running" for spec in long))
    waiting = site.training("w")
    handle = site.start(waiting)
    assert site.seen(handle) == "queued"
    again = LaunchRequest(site.ledger.folder(waiting).path, waiting, 1, (), ProcessId.current(), again=True)
    assert site.launcher().submit(again)["job"] == handle["job"]  # Ray refuses the id, and the job is found
    assert Reach().cancel(handle) and site.seen(handle) == "ended"
    for running in handles:
        assert Reach().cancel(running)
    eventually(lambda: all(site.state(spec).status == "stopped" for spec in long))
    log = attempt_dir(handle) / "ray.txt"
    eventually(lambda: log.exists() and "was cancelled" in log.read_text())
    assert not (attempt_dir(handle) / "log.txt").exists()


def test_a_head_that_is_killed_and_started_again_costs_no_run(site: Site) -> None:
    specs = [site.training(f"h{n}", steps=12, seconds=0.4) for n in range(3)]
    outcome: list[tuple[Outcome, list[Event]]] = []
    work = threading.Thread(target=lambda: outcome.append(site.run(specs)), daemon=True)
    work.start()
    eventually(lambda: sum(site.state(spec).status == "running" for spec in specs) == 2)
    site.ray.kill_head()
    time.sleep(1.5)
    site.ray.start()
    work.join(90)
    assert [found.exit_code for found, _ in outcome] == [0], outcome
    tries: list[Any] = site.tries(specs)
    assert all(each[-1] == "succeeded" and len(each) <= 2 for each in tries), tries
    starts = [event.stage for event in outcome[0][1] if event.what == "started"]
    assert len(starts) == sum(map(len, tries))
