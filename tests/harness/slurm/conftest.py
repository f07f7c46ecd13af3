"""A stand-in for a cluster."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.fake_slurm import install
from tests.support.stages import FUNCTIONS, ROOT, Stages
from toolrl_cli.harness.scheduling.events import Event, Outcome
from toolrl_cli.harness.scheduling.scheduler import Scheduler
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.harness.slurm import launcher as module
from toolrl_cli.harness.slurm.launcher import SlurmLauncher
from toolrl_cli.harness.slurm.settings import SlurmSettings
from toolrl_cli.harness.starting import AttemptOptions, Started, start_attempt
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import Handle


@dataclass
class Cluster:
    """The stand-in, and what is done on it."""

    folder: Path
    ledger: Ledger
    stages: Stages
    settings: SlurmSettings

    def calls(self, program: str) -> list[str]:
        lines = (self.folder / "calls").read_text().splitlines()
        return [line for line in lines if line.startswith(program)]

    def switch(self, name: str, on: bool = True) -> None:
        path = self.folder / name
        path.touch() if on else path.unlink(missing_ok=True)

    def remembers(self, jobs: str) -> str:
        """Have the controller know these jobs alone; what it knew. Its programs write the file all the time."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.folder / "jobs.json"
            known = path.read_text()
            path.write_text(jobs)
        return known

    def launcher(self) -> SlurmLauncher:
        return SlurmLauncher(self.settings)

    def start(self, spec: StageSpec, function: str) -> Handle:
        options = AttemptOptions({spec.kind: f"{FUNCTIONS}:{function}"}, heartbeat=0.1)
        started = start_attempt(self.ledger.folder(spec), spec, self.launcher(), (), options)
        assert isinstance(started, Started) and started.state.launcher is not None
        return started.state.launcher

    def run(self, specs: list[StageSpec], function: str = "finish") -> tuple[Outcome, list[Event]]:
        events: list[Event] = []
        functions = {spec.kind: f"{FUNCTIONS}:{function}" for spec in specs}
        options = Options(functions=functions, heartbeat=0.1, progress_interval=0.05)
        scheduler = Scheduler(specs, self.ledger, self.launcher(), options=options, observe=events.append)
        return scheduler.run(), events


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Ledger, stages: Stages) -> Cluster:
    monkeypatch.chdir(ROOT)
    folder = tmp_path / "cluster"
    monkeypatch.setenv("PATH", str(install(folder)), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    monkeypatch.setattr(module, "DOWN", 0.1)
    monkeypatch.setattr(module, "FRESH", 0.05)
    return Cluster(folder, ledger, stages, SlurmSettings(poll=0.05, delay=0.0))
