"""Attempts as real processes, each one alone."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.stages import FUNCTIONS, ROOT, Stages, eventually
from toolrl_cli.attempt.ending import settle
from toolrl_cli.attempt.execution import Attempt
from toolrl_cli.harness.launchers.local import LocalLauncher
from toolrl_cli.harness.starting import AttemptOptions, Busy, Done, Started, start_attempt
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.liveness import observed
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.store.state import StageState


class Runner:
    """Starts attempts of one stage after the other and waits for their end."""

    def __init__(self, ledger: Ledger, launcher: LocalLauncher) -> None:
        self.ledger = ledger
        self.launcher = launcher

    def start(self, spec: StageSpec, function: str, hang_after: float | None = None) -> StageFolder:
        options = AttemptOptions({spec.kind: f"{FUNCTIONS}:{function}"}, hang_after, heartbeat=0.1)
        started = start_attempt(self.ledger.folder(spec), spec, self.launcher, ("cpu0",), options)
        assert isinstance(started, Started)
        return self.ledger.folder(spec)

    def running(self, spec: StageSpec, function: str) -> StageFolder:
        folder = self.start(spec, function)
        eventually(lambda: folder.state().status == "running")
        return folder

    def wait(self, folder: StageFolder) -> tuple[StageState, int | None]:
        """The state once the attempt's process has ended, and its exit status."""
        state = folder.state()
        assert state.launcher is not None
        process = ProcessId.from_json(state.launcher)
        eventually(lambda: self.launcher._children[process].poll() is not None)
        (ended,) = self.launcher.poll([state.launcher])
        return folder.state(), ended.returncode

    def run(self, spec: StageSpec, function: str, hang_after: float | None = None) -> StageState:
        return self.wait(self.start(spec, function, hang_after))[0]


@pytest.fixture
def runner(ledger: Ledger, launcher: LocalLauncher) -> Runner:
    return Runner(ledger, launcher)


def log(folder: StageFolder, n: int = 1) -> str:
    return (folder.attempt(n) / "log.txt").read_text()


def steps(folder: StageFolder) -> list[int]:
    return [row["step"] for row in merge_metrics(folder.path)]


def trained(stages: Stages, **config: object) -> StageSpec:
    return stages("rl", "rl", total_steps=5, progress_metric="reward/total/mean", config=config)


def test_a_stage_succeeds_and_leaves_all_that_the_contract_names(runner: Runner, stages: Stages) -> None:
    folder = runner.start(trained(stages), "train")
    state, returncode = runner.wait(folder)
    assert (state.status, returncode) == ("succeeded", 0)
    assert state.progress is not None
    assert (state.progress.step, state.progress.total) == (5, 5)
    assert state.progress.metrics == {"reward/total/mean": 0.5}
    assert {path.name for path in folder.path.iterdir()} == {
        "spec.json",
        "state.json",
        "attempts",
        "checkpoints",
    }
    assert {path.name for path in folder.attempt(1).iterdir()} == {
        *("command.json", "environment.json", "log.txt", "metrics.jsonl", "pace.json", "processes.json"),
    }
    assert steps(folder) == [1, 2, 3, 4, 5]


def test_a_success_is_recorded_once_the_disk_has_what_it_left(
    ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, done = ledger.folder(trained(stages)), list[str]()
    (folder.path / "checkpoints" / "global_step_5").mkdir(parents=True)
    (folder.path / "checkpoints" / "global_step_5" / "data.pt").write_bytes(b"position")
    os.mkfifo(folder.path / "checkpoints" / "pipe")
    (folder.path / "checkpoints" / "loop").symlink_to("loop")
    synced = os.fsync

    def fsync(handle: int) -> None:
        done.append(Path(f"/proc/self/fd/{handle}").resolve().name)
        synced(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    attempt = Attempt.__new__(Attempt)
    attempt._folder = folder
    attempt._writer = cast(Any, SimpleNamespace(change=lambda how: done.append("recorded")))
    assert attempt._over("succeeded") == 0
    assert sorted(done[:-1]) == ["checkpoints", "data.pt", "global_step_5"] and done[-1] == "recorded"


def test_a_failure_is_written_with_its_root_cause_and_the_log_has_the_trace_back(
    runner: Runner, stages: Stages
) -> None:
    folder = runner.start(stages("a"), "raise_value_error")
    state, returncode = runner.wait(folder)
    assert (state.status, returncode) == ("failed", 1)
    assert state.failure is not None
    assert (state.failure.kind, state.failure.message) == ("unknown", "ValueError: no good")
    assert "Traceback" in log(folder)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("crash", "unknown", "RuntimeError: the double was told to crash"),
        ("oom", "oom", "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB."),
        ("kill", "killed", "trainer_double.py died of SIGKILL"),
        ("disk-full", "infra", "No space left on device"),
        ("nan", "diverged", "actor/pg_loss is not a finite number since step 3"),
    ],
)
def test_the_trainers_fault_becomes_the_stages_failure(
    runner: Runner, stages: Stages, fault: str, kind: str, words: str
) -> None:
    spec = trained(stages, fault=fault, at=3, fault_in=[1], step_seconds=0.2 if fault == "nan" else 0.0)
    state = runner.run(spec, "train")
    assert state.failure is not None
    assert state.failure.kind == kind
    assert words in state.failure.message


def test_a_stage_that_says_its_failure_class_is_believed(runner: Runner, stages: Stages) -> None:
    state = runner.run(stages("a"), "raise_reward")
    assert state.failure is not None
    assert state.failure.kind == "reward"


@pytest.mark.parametrize("function", ["no_such_function", "raise_value_error:x"])
def test_a_function_that_cannot_be_loaded_is_a_config_failure(
    runner: Runner, stages: Stages, function: str
) -> None:
    state = runner.run(stages("a"), function)
    assert state.failure is not None
    assert state.failure.kind == "config"


def test_a_stage_whose_input_is_not_there_does_not_run(runner: Runner, stages: Stages) -> None:
    state = runner.run(stages("b", after=(stages("a"),)), "finish")
    assert state.failure is not None
    assert state.failure.kind == "config"
    assert f"stage {stages('a').id} is missing" in state.failure.message


def test_a_hung_stage_is_ended_and_goes_on_from_its_checkpoint(runner: Runner, stages: Stages) -> None:
    spec = trained(stages, fault="hang", at=4, fault_in=[1])
    state = runner.run(spec, "train", hang_after=3.0)
    assert state.failure is not None
    assert state.failure.kind == "hang"
    assert runner.run(spec, "train").status == "succeeded"
    assert "going on from step 3" in log(runner.ledger.folder(spec), 2)
    assert steps(runner.ledger.folder(spec)) == [1, 2, 3, 4, 5]


def test_a_stage_that_trains_by_epochs_is_watched_too(runner: Runner, stages: Stages) -> None:
    spec = stages("sft", "sft", config={"steps": 5, "fault": "hang", "at": 2, "fault_in": [1]})
    state = runner.run(spec, "train", hang_after=3.0)
    assert state.failure is not None
    assert state.failure.kind == "hang"


def test_a_stages_own_hang_minutes_go_before_the_policys(runner: Runner, stages: Stages) -> None:
    spec = trained(stages, fault="hang", at=2, fault_in=[1], resources={"hang_minutes": 0.04})
    state = runner.run(spec, "train", hang_after=1000.0)
    assert state.failure is not None
    assert state.failure.kind == "hang"


def test_a_torn_checkpoint_is_set_aside_and_the_one_before_is_used(runner: Runner, stages: Stages) -> None:
    spec = trained(stages, fault="tear", at=4, fault_in=[1])
    state = runner.run(spec, "train")
    assert state.failure is not None
    assert state.failure.kind == "killed"
    assert runner.run(spec, "train").status == "succeeded"
    folder = runner.ledger.folder(spec)
    assert "set aside global_step_3: actor/optim_world_size_1_rank_0.pt is torn; going on from step 2" in log(
        folder, 2
    )
    assert steps(folder) == [1, 2, 3, 4, 5]


def test_a_stop_ends_the_trainer_and_leaves_the_stage_resumable(runner: Runner, stages: Stages) -> None:
    spec = trained(stages, step_seconds=0.2)
    folder = runner.start(spec, "train")
    eventually(lambda: steps(folder))
    runner.launcher.cancel(folder.state().launcher)
    state, returncode = runner.wait(folder)
    assert (state.status, state.failure, returncode) == ("stopped", None, 3)
    assert 0 < len(steps(folder)) < 5
    assert runner.run(spec, "train").status == "succeeded"
    assert steps(folder) == [1, 2, 3, 4, 5]


def test_a_trainer_that_ignores_sigterm_is_killed_after_its_grace(runner: Runner, stages: Stages) -> None:
    spec = trained(stages, fault="ignore-sigterm", at=2, fault_in=[1], grace=0.3)
    folder = runner.start(spec, "train")
    eventually(lambda: steps(folder))
    time.sleep(0.2)
    runner.launcher.cancel(folder.state().launcher)
    assert runner.wait(folder)[0].status == "stopped"
    assert stages.processes() == []


@pytest.mark.parametrize("function", ["sleep", "interrupt_when_stopped"])
def test_a_stage_that_heeds_the_request_to_stop_is_stopped(
    runner: Runner, stages: Stages, function: str
) -> None:
    folder = runner.running(stages("a"), function)
    runner.launcher.cancel(folder.state().launcher)
    assert runner.wait(folder)[0].status == "stopped"


def test_a_stage_that_fails_of_itself_when_asked_to_stop_has_failed(runner: Runner, stages: Stages) -> None:
    folder = runner.running(stages("a"), "raise_when_stopped")
    eventually(lambda: "at work" in log(folder))
    runner.launcher.cancel(folder.state().launcher)
    state = runner.wait(folder)[0]
    assert state.failure is not None
    assert (state.status, state.failure.message) == ("failed", "ValueError: no good")


def test_a_killed_attempt_takes_its_processes_with_it(runner: Runner, stages: Stages) -> None:
    folder = runner.start(trained(stages, step_seconds=60), "train")
    eventually(
        lambda: any(
            "trainer_double" in argv and "guard" not in argv for _, argv in stages.processes_with_argv()
        )
    )
    runner.launcher.cancel(folder.state().launcher, kill=True)
    eventually(lambda: not stages.processes())
    assert runner.wait(folder)[0].status == "running"
    assert observed(folder).status == "failed"
    state = settle(folder, 1, returncode=-9)
    assert state is not None
    assert state.failure is not None
    assert state.failure.kind == "killed"
    assert folder.lease() is None


def test_what_a_stage_leaves_running_is_ended_and_told(runner: Runner, stages: Stages) -> None:
    spec = trained(stages, fault="orphan", at=2, fault_in=[1])
    assert runner.run(spec, "train").status == "succeeded"
    assert stages.processes() == []


def test_processes_that_outlived_a_killed_attempt_are_ended_before_the_next_one(
    runner: Runner, stages: Stages
) -> None:
    spec = stages("a")
    folder = runner.running(spec, "sleep")
    state = folder.state()
    record = json.loads((folder.attempt(1) / "processes.json").read_text())
    # one that the attempt wrote down, and one that began after it had
    recorded = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    unrecorded = subprocess.Popen(
        [sys.executable, "-S", "-c", "import time; time.sleep(60)"], env={"TOOLRL_ATTEMPT": record["mark"]}
    )
    bystander = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    try:
        runner.launcher.cancel(state.launcher, kill=True)
        runner.wait(folder)
        process = ProcessId.of(recorded.pid)
        assert process is not None
        record["descendants"] = [process.to_json()]
        (folder.attempt(1) / "processes.json").write_text(json.dumps(record))
        assert runner.run(spec, "finish").status == "succeeded"
        assert recorded.wait(5) == -signal.SIGKILL
        assert unrecorded.wait(5) == -signal.SIGKILL
        assert bystander.poll() is None
        assert [(a.n, a.status) for a in folder.state().attempts] == [(1, "failed"), (2, "succeeded")]
    finally:
        for child in (recorded, unrecorded, bystander):
            child.kill()
            child.wait()


def test_an_attempt_that_cannot_write_its_state_is_an_infra_failure_and_goes_on_later(
    runner: Runner, stages: Stages
) -> None:
    spec = stages("a")
    folder = runner.start(spec, "fill_disk")
    state, returncode = runner.wait(folder)
    assert state.status == "running"
    settled = settle(folder, 1, returncode=returncode)
    assert settled is not None
    assert settled.failure is not None
    assert settled.failure.kind == "infra"
    assert runner.run(spec, "finish").status == "succeeded"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_an_attempt_whose_disk_fails_says_so_and_the_next_one_goes_on(
    runner: Runner, stages: Stages, code: int
) -> None:
    spec = stages("a", config={"errno": code})
    folder = runner.start(spec, "fail_writes")
    state, returncode = runner.wait(folder)
    assert (state.status, returncode) == ("running", 74)
    settled = settle(folder, 1, returncode=returncode)
    assert settled is not None and settled.failure is not None
    assert settled.failure.kind == "infra"
    assert os.strerror(code) in settled.failure.message
    assert runner.run(spec, "finish").status == "succeeded"


def attempt_by_hand(folder: StageFolder, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "toolrl_cli.attempt.execution", str(folder.path), *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)


def test_a_second_attempt_of_a_running_stage_steps_back(runner: Runner, stages: Stages) -> None:
    folder = runner.running(stages("a"), "sleep")
    answer = attempt_by_hand(folder, "--function", f"{FUNCTIONS}:finish")
    assert answer.returncode == 75
    assert "runs attempt 1; nothing to do here" in answer.stderr
    assert folder.state().status == "running"
    assert len(folder.attempts()) == 1


def test_an_attempt_that_was_never_written_down_does_not_run(runner: Runner, stages: Stages) -> None:
    spec = stages("a")
    runner.run(spec, "raise_value_error")
    folder = runner.ledger.folder(spec)
    folder.attempt(2).mkdir()
    answer = attempt_by_hand(folder, "--attempt", "2", "--function", f"{FUNCTIONS}:finish")
    assert answer.returncode == 75
    assert "attempt 2 is not the one that is due" in answer.stderr
    assert folder.state().status == "failed"
    assert runner.run(spec, "finish").attempt == 3


def test_an_attempt_of_a_stage_that_is_done_ends_at_once(runner: Runner, stages: Stages) -> None:
    spec = stages("a")
    runner.run(spec, "finish")
    folder = runner.ledger.folder(spec)
    before = folder.state()
    assert attempt_by_hand(folder, "--function", f"{FUNCTIONS}:raise_value_error").returncode == 0
    assert folder.state() == before
    assert isinstance(start_attempt(folder, spec, runner.launcher, ("cpu0",)), Done)


def test_an_attempt_started_by_hand_makes_its_own_number_and_log(runner: Runner, stages: Stages) -> None:
    spec = stages("a")
    runner.run(spec, "raise_value_error")
    folder = runner.ledger.folder(spec)
    answer = attempt_by_hand(folder, "--function", f"{FUNCTIONS}:finish")
    assert answer.returncode == 0
    assert f"writing to {folder.attempt(2) / 'log.txt'}" in answer.stderr
    assert (folder.state().status, folder.state().attempt) == ("succeeded", 2)


def test_a_folder_without_a_specification_is_refused_in_one_line(tmp_path: Path) -> None:
    answer = attempt_by_hand(StageFolder(tmp_path / "stages" / "rl" / "x"))
    assert answer.returncode == 74
    assert answer.stderr.count("\n") == 1
    assert "spec.json: missing or not JSON" in answer.stderr


def test_a_stage_under_way_is_not_started_again(runner: Runner, stages: Stages) -> None:
    spec = stages("a")
    folder = runner.running(spec, "sleep")
    answer = start_attempt(folder, spec, runner.launcher, ("cpu0",))
    assert isinstance(answer, Busy)
    assert answer.alive is True
    assert len(folder.attempts()) == 1


def test_an_attempt_knows_its_devices_and_no_secret_reaches_a_file(
    ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    secrets = (
        "WANDB_API_KEY",
        "HF_TOKEN",
        "HF_PAT",
        "SLURM_JWT",
        "WANDB_PASSPHRASE",
        "NCCL_MINE",
        "TOOLRL_SERVER_KEY",
    )
    environment = {**os.environ, **dict.fromkeys(secrets, "s3cret"), "WANDB_MODE": "offline"}
    environment["WANDB_BASE_URL"] = "https://me:s3cret@wandb.example"
    runner = Runner(ledger, LocalLauncher(["0", "1"], gpus=True, environment=environment))
    spec = stages("a")
    folder = ledger.folder(spec)
    options = AttemptOptions({"export": f"{FUNCTIONS}:finish"})
    start_attempt(folder, spec, runner.launcher, ("0", "1"), options)
    runner.wait(folder)
    said = json.loads((folder.attempt(1) / "environment.json").read_text())
    assert said["devices"] == "0,1"
    assert said["versions"]["verl"]
    assert said["environment"]["WANDB_MODE"] == "offline"
    assert said["environment"]["WANDB_BASE_URL"] == "https://wandb.example"
    for path in folder.path.rglob("*"):
        assert path.is_dir() or "s3cret" not in path.read_text(), path


def test_a_cpu_attempt_has_no_word_about_devices(
    ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    runner = Runner(ledger, LocalLauncher(["cpu0"], environment={**os.environ, "CUDA_VISIBLE_DEVICES": ""}))
    folder = runner.start(stages("a"), "finish")
    runner.wait(folder)
    assert json.loads((folder.attempt(1) / "environment.json").read_text())["devices"] is None


def test_an_attempt_is_in_a_session_of_its_own(runner: Runner, stages: Stages) -> None:
    folder = runner.running(stages("a"), "sleep")
    handle = folder.state().launcher
    assert handle is not None
    assert os.getsid(handle["pid"]) == handle["pid"] != os.getsid(0)


def test_an_attempt_imports_nothing_heavy() -> None:
    heavy = {"torch", "verl", "ray", "pandas", "numpy", "pydantic", "rich", "psutil", "typer"}
    code = f"import sys, toolrl_cli.attempt.execution; print(sorted({heavy!r} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
