"""Trainings over several nodes of a real Ray, whose two nodes are on this machine."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.ray_cluster import RayCluster
from tests.support.stages import FUNCTIONS, ROOT, Stages, eventually
from toolrl_cli.harness.ray import view
from toolrl_cli.harness.ray.launcher import RayLauncher, attempt_dir
from toolrl_cli.harness.ray.settings import RaySettings
from toolrl_cli.harness.reach import Reach
from toolrl_cli.harness.starting import AttemptOptions, Started, start_attempt
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import Handle, StageState

pytestmark = pytest.mark.e2e

TAG = "TOOLRL_TEST_TAG"


@pytest.fixture(scope="module")
def ray() -> Iterator[RayCluster]:
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        cluster = RayCluster(Path(folder), nodes=2)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


class Site:
    """Stages that take a whole GPU of each node, and all processes of them."""

    def __init__(self, ray: RayCluster, ledger: Ledger, stages: Stages) -> None:
        self.ray, self.ledger, self.stages, self._tag = ray, ledger, stages, secrets.token_hex(8)
        settings = {"address": ray.address, "token_file": str(ray.token_file), "env": {TAG: self._tag}}
        self.settings = RaySettings.model_validate({**settings, "poll": 0.3, "delay": 0.2})

    def start(self, name: str, gpus: int = 1) -> tuple[StageSpec, Handle]:
        config = {"seconds": 600, "resources": {"nodes": 2, "gpus": gpus, "device": "cuda"}}
        spec = self.stages(name, kind="rl", config=config, total_steps=1, slots=2 * gpus, nodes=2)
        options = AttemptOptions({"rl": f"{FUNCTIONS}:run_over_ray"}, heartbeat=0.5)
        started = start_attempt(self.ledger.folder(spec), spec, RayLauncher(self.settings), (), options)
        assert isinstance(started, Started) and started.state.launcher is not None
        return spec, started.state.launcher

    def until_up(self, spec: StageSpec) -> None:
        folder = self.ledger.folder(spec).attempt(1)

        def told() -> str:
            return "\n".join(path.read_text() for path in folder.glob("*.txt"))

        eventually((folder / "up").exists, 120, told)

    def state(self, spec: StageSpec) -> StageState:
        return self.ledger.read(spec)

    def processes(self, words: str) -> dict[int, str]:
        """pid → command line of those of the stages; Ray's own workers of the cluster have no such variable."""
        found = {}
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                argv = Path(entry.path, "cmdline").read_text(errors="replace").replace("\0", " ")
                marked = f"{TAG}={self._tag}" in Path(entry.path, "environ").read_text(errors="replace")
            except OSError:
                continue
            if marked and words in argv:
                found[int(entry.name)] = argv
        return found

    def until_all_have_ended(self) -> None:
        eventually(lambda: not self.processes(""), 90, lambda: "\n".join(self.processes("").values()))


@pytest.fixture
def site(ray: RayCluster, ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(view, "DOWN", 0.5)
    return Site(ray, ledger, stages)


def test_a_training_holds_its_share_of_both_nodes_and_the_next_one_waits(site: Site) -> None:
    first, handle = site.start("first", gpus=2)
    site.until_up(first)
    assert len(site.processes("raylet/raylet")) == 2
    waiting, later = site.start("waiting")
    log = attempt_dir(later) / "ray.txt"
    eventually(lambda: log.exists() and "waits for 2 nodes with 1 CPU, 1 GPU each" in log.read_text(), 60)
    launcher = RayLauncher(site.settings)
    assert [seen.phase for seen in launcher.poll([handle, later])] == ["running", "queued"]
    assert Reach().cancel(later)
    eventually(lambda: launcher.poll([later])[0].phase == "ended", 60)
    assert not (attempt_dir(later) / "log.txt").exists() and site.state(waiting).attempt == 1
    assert Reach().cancel(handle)
    eventually(lambda: site.state(first).status == "stopped", 60)
    site.until_all_have_ended()


def test_nothing_is_left_of_a_job_that_is_killed(site: Site) -> None:
    spec, _ = site.start("a")
    site.until_up(spec)
    (job,) = [pid for pid, argv in site.processes("--places").items() if argv.startswith(sys.executable)]
    os.kill(job, signal.SIGKILL)
    site.until_all_have_ended()
