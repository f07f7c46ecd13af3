"""Trainings over several nodes of a real Slurm, whose two nodes are emulated on this machine."""

from __future__ import annotations

import os
import secrets
import signal
from pathlib import Path

import pytest
import yaml

from tests.e2e.slurm_cluster import SlurmCluster, why_not
from tests.support.stages import FUNCTIONS, ROOT, Stages, eventually
from toolrl_cli import api
from toolrl_cli.harness.reach import Reach
from toolrl_cli.harness.slurm.launcher import SlurmLauncher
from toolrl_cli.harness.slurm.settings import SlurmSettings
from toolrl_cli.harness.starting import AttemptOptions, Started, start_attempt
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import Handle, StageState

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(bool(why_not()), reason=f"no Slurm here: {why_not()}")]

TAG = "TOOLRL_TEST_TAG"


class Site:
    """Stages over both nodes, and all processes that they have there."""

    def __init__(self, slurm: SlurmCluster, ledger: Ledger, stages: Stages, tag: str) -> None:
        self.slurm, self.ledger, self.stages, self._tag = slurm, ledger, stages, tag

    def start(self, name: str) -> tuple[StageSpec, Handle]:
        resources = {"nodes": 2, "device": "cpu"}
        config = {"seconds": 600, "resources": resources}
        spec = self.stages(name, kind="rl", config=config, total_steps=1, slots=2, nodes=2)
        options = AttemptOptions({"rl": f"{FUNCTIONS}:run_over_ray"}, heartbeat=0.5)
        launcher = SlurmLauncher(SlurmSettings(poll=0.3, delay=0.5))
        started = start_attempt(self.ledger.folder(spec), spec, launcher, (), options)
        assert isinstance(started, Started) and started.state.launcher is not None
        return spec, started.state.launcher

    def until_up(self, *specs: StageSpec) -> None:
        for spec in specs:
            folder = self.ledger.folder(spec).attempt(1)
            eventually((folder / "up").exists, 120, lambda f=folder: (f / "log.txt").read_text())  # type: ignore[misc]

    def state(self, spec: StageSpec) -> StageState:
        return self.ledger.read(spec)

    def processes(self, words: str = "") -> dict[int, str]:
        """pid → command line of all that inherited the test's mark through Slurm, this process's children apart."""
        found = {}
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
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
        eventually(lambda: not self.processes(), 60, lambda: "\n".join(self.processes().values()))
        self.slurm.until_idle()


@pytest.fixture
def site(slurm: SlurmCluster, ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Site:
    tag = secrets.token_hex(8)
    for name, value in {**slurm.environment, TAG: tag}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    return Site(slurm, ledger, stages, tag)


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
    eventually(lambda: site.state(stopped).status == "stopped", 60)
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
    eventually(lambda: len(site.processes("raylet/raylet")) == 2, 60)

    def parts() -> list[int]:
        return [p for p, argv in site.processes("training.nodes.part").items() if "srun" not in argv]

    eventually(lambda: len(parts()) == 1, 60)  # that of the other one ends with its attempt
    os.kill(parts()[0], signal.SIGKILL)
    eventually(lambda: site.state(lost).status == "failed", 60)
    failure = site.state(lost).failure
    assert failure is not None and failure.kind == "infra" and failure.message.startswith("node n2: ")
    site.until_all_have_ended()
