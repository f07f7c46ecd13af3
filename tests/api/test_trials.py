"""`api.trial` on doubles of its parts; tests/e2e has the real one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytest import MonkeyPatch

from toolrl_cli.api import trials
from toolrl_cli.errors import StageError
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.progress.metrics import merge_metrics


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.mkdtemp", lambda prefix: str(tmp_path / "root"))
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_nothing_is_left_behind_and_a_failed_part_keeps_its_log(
    temporary: Path, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "_trial", lambda root, device, precision, tell: (device, precision))
    assert trials.trial() == ("cpu", "fp32")
    assert not temporary.exists()

    def fails(*_: Any) -> None:
        raise StageError("rl failed", "log.txt")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    temporary.mkdir()
    monkeypatch.setattr(trials, "_trial", fails)
    with pytest.raises(StageError):
        trials.trial()
    assert temporary.exists()
    monkeypatch.setattr(trials, "_trial", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trials.trial()
    assert not temporary.exists()


def test_the_attempt_is_killed_once_it_has_a_checkpoint(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "LOOK", 0.01)
    attempt = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    found = ProcessId.of(attempt.pid)
    assert found is not None
    folder = StageFolder(tmp_path / "stages" / "rl" / "a")
    monkeypatch.setattr(StageFolder, "state", lambda self: SimpleNamespace(launcher=found.to_json()))
    with trials._killed_after_its_first_checkpoint(folder) as killed:
        time.sleep(0.05)
        assert attempt.poll() is None and killed == []
        (folder.path / "checkpoints").mkdir(parents=True)
        (folder.path / "checkpoints" / trials.TRACKER).write_text("2")
        time.sleep(0.05)
        assert attempt.poll() is None, "the step is not in the metrics yet"
        (folder.path / "attempts" / "1").mkdir(parents=True)
        row = json.dumps({"step": 2, "data": {trials.STEP_TIME: 1.0}})
        (folder.path / "attempts" / "1" / "metrics.jsonl").write_text(f"{row}\n")
        assert attempt.wait(20) == -9
    assert killed == [2]


def test_a_part_that_fails_is_one_line_with_its_log(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLRL_RESULTS", str(tmp_path))
    failure = Failure.of("oom", "CUDA out of memory")
    folder = SimpleNamespace(attempts=lambda: [tmp_path / "attempts" / "1"])
    monkeypatch.setattr(trials, "Ledger", lambda root: SimpleNamespace(folder=lambda spec: folder))
    planned: Any = SimpleNamespace(stages={"a": SimpleNamespace(spec=SimpleNamespace(kind="rl"))})
    outcome: Any = SimpleNamespace(interrupted=False, failures={"a": failure}, ok=False, ends={})
    with pytest.raises(StageError) as caught:
        trials._check(outcome, planned, tmp_path)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / 'attempts' / '1' / 'log.txt'}: rl failed: oom: CUDA out of memory (")
    assert "\n" not in told


LOGGED = Path(__file__).parents[1] / "fixtures/results_0_1_0/stages/rl/grpo-tiny-original-s1-50ac47ff21"


@pytest.mark.parametrize("lost", [None, 3])
def test_what_is_measured_is_what_verl_logs_over_both_attempts(
    tmp_path: Path, monkeypatch: MonkeyPatch, lost: int | None
) -> None:
    """The first attempt was killed in its fourth step, after a checkpoint of the second."""
    real = [row for row in merge_metrics(LOGGED) if trials.STEP_TIME in row["data"]]
    numbers = {"1": [1, 2, 3], "2": [step for step in (3, 4, 5, 6) if step != lost]}
    for attempt, steps in numbers.items():
        folder = tmp_path / "attempts" / attempt
        folder.mkdir(parents=True)
        rows = [{"step": step, "data": real[step % len(real)]["data"]} for step in steps]
        if attempt == "2":
            rows.insert(0, {"step": 2, "data": {"val-core/toolworld/reward/mean@1": -1.0}})
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(trials, "_took", lambda ledger, stage: 10.0)
    monkeypatch.setattr(trials, "_score", lambda planned, root: 0.5)
    planned: Any = SimpleNamespace(stages={"a": SimpleNamespace(spec=SimpleNamespace(kind="rl"))})
    if lost is not None:
        with pytest.raises(StageError, match="lost or doubled steps"):
            trials._measured(planned, tmp_path, StageFolder(tmp_path), 2, "cpu", "fp32")
        return
    found = trials._measured(planned, tmp_path, StageFolder(tmp_path), 2, "cpu", "fp32")
    times = [row["data"][trials.STEP_TIME] for row in real]
    assert min(times) <= found.step_seconds <= max(times)
    assert found.tokens_per_second > found.generated_per_second > 0
    assert found.peak_memory is not None and found.peak_memory > 1 << 29
    assert found.correlation > 0.999 and found.probability_difference < 1e-6
    assert (found.resumed_from, found.stages, found.seconds, found.score) == (2, {"rl": 10.0}, 10.0, 0.5)
