"""Trainings over several nodes of a real Ray, whose two nodes are on this machine."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from tests.e2e.over_nodes import TAG, OverNodes
from tests.e2e.ray_cluster import RayCluster
from tests.support.stages import ROOT, Stages, eventually
from toolrl_cli import api
from toolrl_cli.harness.ray import view
from toolrl_cli.harness.ray.launcher import RayLauncher, attempt_dir
from toolrl_cli.harness.ray.settings import RaySettings
from toolrl_cli.harness.reach import Reach
from toolrl_cli.store.ledger import Ledger

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def ray() -> Iterator[RayCluster]:
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        cluster = RayCluster(Path(folder), nodes=2)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


class Site(OverNodes):
    """On the cluster, with a whole GPU of each node or both."""

    def __init__(self, ray: RayCluster, ledger: Ledger, stages: Stages) -> None:
        super().__init__(ledger, stages, "cuda")
        # Ray's own workers of the cluster have no such variable
        self.settings = {"address": ray.address, "token_file": str(ray.token_file), "env": {TAG: self.tag}}
        self.settings |= {"poll": 0.3, "delay": 0.2, "prologue": ["export TOOLRL_TEST_PROLOGUE=1"]}

    def launcher(self) -> RayLauncher:
        return RayLauncher(RaySettings.model_validate(self.settings))


@pytest.fixture
def site(ray: RayCluster, ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(view, "DOWN", 0.5)
    return Site(ray, ledger, stages)


def test_verl_trains_on_two_nodes(site: Site) -> None:
    """GRPO of the tiny model with a rank on each node; the export puts both ranks' shards together."""
    smoke = yaml.safe_load((ROOT / "sweeps/smoke.yaml").read_text())
    sweep = {**smoke, "arms": {"grpo": {"train": ["rl"]}}, "evaluate": [], "tables": []}
    sweep["base"] |= {"resources": {"nodes": 2, "device": "cpu"}, "model.pretrain.steps": 2}
    sweep["launchers"] = {"ray": {**site.settings, "cpus": 4}}
    outcome = api.run(sweep, results=site.ledger.results, launcher="ray", wandb="disabled")
    assert outcome.ok, outcome.failures
    (rl,) = (site.ledger.results / "stages/rl").iterdir()
    assert len(list((rl / "checkpoints/global_step_2/actor").glob("model_world_size_2_rank_?.pt"))) == 2
    assert "runs on this node and on " in (rl / "attempts/1/log.txt").read_text()
    site.until_all_have_ended()


def test_a_training_holds_its_share_of_both_nodes_and_the_next_one_waits(site: Site) -> None:
    first, handle = site.start("first", gpus=2)
    assert site.until_up(first) == ["n0 n1"]  # of what nobody has set, each node keeps its own
    raylets = site.processes("raylet/raylet")
    assert len(raylets) == 2
    environments = [Path(f"/proc/{pid}/environ").read_text() for pid in raylets]
    assert all("TOOLRL_TEST_PROLOGUE=1" in found for found in environments)
    waiting, later = site.start("waiting")
    log = attempt_dir(later) / "ray.txt"
    eventually(lambda: log.exists() and "waits for 2 nodes with 1 CPU, 1 GPU each" in log.read_text())
    launcher = site.launcher()
    assert [seen.phase for seen in launcher.poll([handle, later])] == ["running", "queued"]
    assert Reach().cancel(later)
    eventually(lambda: launcher.poll([later])[0].phase == "ended")
    assert not (attempt_dir(later) / "log.txt").exists() and site.state(waiting).attempt == 1
    assert Reach().cancel(handle)
    eventually(lambda: site.state(first).status == "stopped")
    site.until_all_have_ended()


def test_nothing_is_left_of_a_job_that_is_killed_nor_of_one_whose_first_node_is_gone(site: Site) -> None:
    (killed, _), (lost, handle) = site.start("killed"), site.start("lost")
    site.until_up(killed, lost)
    jobs = {
        p: argv
        for p, argv in site.processes("ray.job ").items()
        if "guard" not in argv and "bash" not in argv
    }
    (job,) = [pid for pid, argv in jobs.items() if killed.id in argv and "--places" in argv]
    os.kill(job, signal.SIGKILL)
    (attempt,) = [pid for pid, argv in jobs.items() if lost.id in argv and "--places" not in argv]
    place = next(p for p in psutil.Process(attempt).parents() if p.name().startswith("ray::"))
    place.kill()  # what is left of a node that died, as the other one sees it
    eventually(lambda: site.launcher().poll([handle])[0].phase == "ended")
    failure = site.launcher().poll([handle])[0].failure
    assert failure is not None and failure.kind == "infra"
    assert failure.message.startswith("the first of its nodes is gone")
    site.until_all_have_ended()
