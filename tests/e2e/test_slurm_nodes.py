"""Trainings over several nodes of a real Slurm, whose two nodes are emulated on this machine."""

from __future__ import annotations

import os
import signal

import pytest
import yaml

from tests.e2e.over_nodes import TAG, OverNodes
from tests.e2e.slurm_cluster import SlurmCluster, why_not
from tests.support.stages import ROOT, Stages, eventually
from toolrl_cli import api
from toolrl_cli.harness.reach import Reach
from toolrl_cli.harness.slurm.launcher import SlurmLauncher
from toolrl_cli.harness.slurm.settings import SlurmSettings
from toolrl_cli.store.ledger import Ledger

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(bool(why_not()), reason=f"no Slurm here: {why_not()}")]


class Site(OverNodes):
    """On the cluster, through which they inherit the test's mark."""

    def __init__(self, slurm: SlurmCluster, ledger: Ledger, stages: Stages) -> None:
        super().__init__(ledger, stages, "cpu")
        self.slurm = slurm

    def launcher(self) -> SlurmLauncher:
        return SlurmLauncher(SlurmSettings(poll=0.3, delay=0.5))

    def until_all_have_ended(self) -> None:
        super().until_all_have_ended()
        self.slurm.until_idle()


@pytest.fixture
def site(slurm: SlurmCluster, ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(slurm, ledger, stages)
    for name, value in {**slurm.environment, TAG: site.tag}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    return site


def test_verl_trains_on_two_nodes(site: Site) -> None:
    """SFT and GRPO of the tiny model, a rank on each node; the exports put both ranks' shards together."""
    smoke = yaml.safe_load((ROOT / "sweeps/smoke.yaml").read_text())
    sweep = {**smoke, "arms": {"grpo": {}}, "evaluate": [], "tables": []}
    sweep["base"] |= {"resources": {"nodes": 2, "device": "cpu"}, "model.pretrain.steps": 2}
    outcome = api.run(sweep, results=site.ledger.results, launcher="slurm", wandb="disabled")
    assert outcome.ok, outcome.failures
    (rl,) = (site.ledger.results / "stages/rl").iterdir()
    (sft,) = (site.ledger.results / "stages/sft").iterdir()
    for checkpoint in (rl / "checkpoints/global_step_2/actor", sft / "checkpoints/global_step_2"):
        assert len(list(checkpoint.glob("model_world_size_2_rank_?.pt"))) == 2
    for stage in (rl, sft):
        assert "runs on this node and on n2" in (stage / "attempts/1/log.txt").read_text()
    site.until_all_have_ended()


def test_two_trainings_share_their_nodes_and_leave_no_process_when_they_are_stopped_or_cancelled(
    site: Site,
) -> None:
    (stopped, first), (cancelled, second) = site.start("stopped"), site.start("cancelled")
    site.until_up(stopped, cancelled)
    assert len(site.processes("raylet/raylet")) == 4
    assert Reach().cancel(first)
    eventually(lambda: site.state(stopped).status == "stopped")
    eventually(lambda: len(site.processes("raylet/raylet")) == 2)
    site.slurm.ask("scancel", str(second["job"]))
    site.until_all_have_ended()


def test_a_part_that_is_killed_and_an_attempt_that_is_end_the_rest_of_it(site: Site) -> None:
    (lost, _), (dead, _) = site.start("lost"), site.start("dead")
    site.until_up(lost, dead)
    (attempt,) = [
        p for p, argv in site.processes("slurm.job").items() if dead.id in argv and "guard" not in argv
    ]
    os.kill(attempt, signal.SIGKILL)
    eventually(lambda: len(site.processes("raylet/raylet")) == 2)

    def parts() -> list[int]:
        return [p for p, argv in site.processes("training.nodes.part").items() if "srun" not in argv]

    eventually(lambda: len(parts()) == 1)  # that of the other one ends with its attempt
    os.kill(parts()[0], signal.SIGKILL)
    eventually(lambda: site.state(lost).status == "failed")
    failure = site.state(lost).failure
    assert failure is not None and failure.kind == "infra" and failure.message.startswith("node n2: ")
    site.until_all_have_ended()
