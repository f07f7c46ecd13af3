"""Ray's daemons and workers end with the attempt, however it ends."""

from __future__ import annotations

import time

import pytest

from tests.support.stages import FUNCTIONS, Stages, eventually
from toolrl_cli.attempt.ending import settle
from toolrl_cli.harness.launchers.local import LocalLauncher
from toolrl_cli.harness.starting import AttemptOptions, start_attempt
from toolrl_cli.store.ledger import Ledger, StageFolder

pytestmark = pytest.mark.e2e


def start(ledger: Ledger, launcher: LocalLauncher, stages: Stages, seconds: float) -> StageFolder:
    spec = stages("ray", "rl", config={"seconds": seconds})
    options = AttemptOptions({"rl": f"{FUNCTIONS}:run_ray"}, heartbeat=0.5)
    folder = ledger.folder(spec)
    start_attempt(folder, spec, launcher, ("cpu0",), options)
    eventually(lambda: (folder.attempt(1) / "up").exists(), 120)
    assert len(stages.processes()) > 5
    return folder


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_no_process_of_ray_outlives_an_attempt(
    ledger: Ledger, launcher: LocalLauncher, stages: Stages, how: str
) -> None:
    folder = start(ledger, launcher, stages, 1000)
    handle = folder.state().launcher
    assert handle is not None
    began = time.monotonic()
    launcher.cancel(handle, kill=how == "killed")
    eventually(lambda: not stages.processes())
    assert time.monotonic() - began < 15
    while (
        ended := launcher.poll([handle])[0]
    ).alive:  # it has no command line any more, and ends in a moment
        time.sleep(0.01)
    state = settle(folder, 1, returncode=ended.returncode)
    assert state is not None
    assert state.status == ("failed" if how == "killed" else "stopped")


def test_ray_is_gone_when_a_stage_has_succeeded(
    ledger: Ledger, launcher: LocalLauncher, stages: Stages
) -> None:
    folder = start(ledger, launcher, stages, 0.1)
    eventually(lambda: folder.state().status == "succeeded")
    assert [argv for _, argv in stages.processes_with_argv() if "attempt.execution" not in argv] == []
