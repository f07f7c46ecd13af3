"""`toolrl stop` where the plan cannot be read."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.commands.conftest import Toolrl
from toolrl_cli.processes.process_id import ProcessId


@pytest.mark.parametrize("plan", ["{", '{"schema": 1, "stages": [{}]}', None])
def test_a_torn_plan_does_not_keep_harnesses_from_being_stopped(toolrl: Toolrl, plan: str | None) -> None:
    folder = Path("results", "sweeps", "small")
    (folder / "harnesses").mkdir(parents=True)
    if plan is not None:
        (folder / "plan.json").write_text(plan)
    harness = subprocess.Popen(["sleep", "100"])
    try:
        process = ProcessId.of(harness.pid)
        assert process is not None
        (folder / "harnesses" / "h.json").write_text(json.dumps(process.to_json()))
        answer = toolrl("stop", "small")
        assert harness.wait(10) == -signal.SIGTERM
    finally:
        harness.kill()
        harness.wait()
    assert answer.code == 1
    assert "small: asked 1 harness to stop" in answer.err
    assert "attempts that no harness looks after were not looked for" in answer.err
    again = toolrl("stop", "small")
    assert (again.code, "plan.json" in again.err) == (2, True)
