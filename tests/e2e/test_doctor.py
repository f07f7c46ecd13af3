"""`toolrl doctor --train` on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for temporary files; pytest's own is too long a path for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="tr-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_doctor_trains_kills_resumes_exports_and_evaluates_and_leaves_nothing(
    tmp_path: Path, short: Path
) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "toolrl_cli", "doctor", "--train", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(short)},
        capture_output=True,
        text=True,
        timeout=900,  # a hang; never a measure of speed
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    trial = json.loads(answer.stdout)["trial"]
    assert (trial["device"], trial["precision"], trial["resumed_from"]) == ("cpu", "fp32", 2)
    assert set(trial["stages"]) == {"sft", "rl", "export", "evaluate"}
    assert all(trial[key] > 0 for key in ("step_seconds", "tokens_per_second", "generated_per_second"))
    assert trial["peak_memory"] > 1 << 20 and 0 <= trial["score"] <= 1
    assert trial["correlation"] > 0.999 and trial["probability_difference"] < 1e-5
    assert list(short.glob("toolrl-trial-*")) == []
