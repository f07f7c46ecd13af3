"""A real disk that is full, or cannot be written any more, in the middle of a training."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stages import ROOT, Stages

ALONE = ["unshare", "-Urm"]


def can_mount() -> bool:
    """Whether this user may have a mount that nobody else sees (Linux with user namespaces)."""
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return False
    argv = [*ALONE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="this user may not mount; the faults are tested by patching too")
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_disk_that_fails_in_the_middle_costs_an_attempt_and_no_step(
    tmp_path: Path, stages: Stages, fault: str
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    rl = stages("rl", "rl", total_steps=6, config={"step_seconds": 0.3})
    specs = [rl, stages("export", after=(rl,))]
    graph = tmp_path / "graph.json"
    graph.write_text(json.dumps([spec.to_json() for spec in specs]))
    argv = [*ALONE, sys.executable, "-m", "tests.support.small_disk", str(disk), str(graph), fault]
    told = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stderr
    answer = json.loads(told.stdout.splitlines()[-1])
    first, second, last = answer["codes"]
    assert first != 0 and second != 0 and last == 0, answer
    words = {"full": "No space left on device", "read-only": "Read-only file system"}[fault]
    assert words in answer["said"][1]
    assert answer["failures"] == [{"full": "infra", "read-only": "killed"}[fault]]
    assert [attempts.count("succeeded") for attempts in answer["attempts"]] == [1, 1]
    assert answer["steps"][0] == [1, 2, 3, 4, 5, 6]
    assert not [name for name in answer["litter"] if name.startswith((".", "lease"))]
