from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from toolrl_cli.attempt.classify import classify, one_line
from toolrl_cli.attempt.divergence import diverged
from toolrl_cli.attempt.tracebacks import root_cause
from toolrl_cli.errors import BenchmarkError, LedgerError, SpecError, StageError
from toolrl_cli.harness.scheduling.retries import Policy, Retry
from toolrl_cli.processes.child import ChildFailed
from toolrl_cli.processes.nodes import NodeLost
from toolrl_cli.store.failures import FAILURE_CLASSES, HINTS, Failure

LOGS = Path(__file__).with_name("logs")

EXPECTED = {
    "assertion_without_words": ("unknown", "AssertionError at x.py:12"),
    "data_loader_worker_disk_full": (
        "infra",
        "RuntimeError: unable to write to file </torch_1_2_3>: No space left on device (28)",
    ),
    "disk_full_while_saving": (
        "infra",
        "RuntimeError: [enforce fail at inline_container.cc:603] . unexpected pos 1984 vs 1878 "
        "(caused by OSError: [Errno 28] No space left on device)",
    ),
    "error_at_exit_after_the_cause": ("config", "FileNotFoundError: Unable to find '/data/train.parquet'"),
    "exception_group": ("unknown", "KeyError: 'tool_calls'"),
    "hydra_bad_override_syntax": (
        "config",
        "no viable alternative at input '['; "
        "See https://hydra.cc/docs/1.2/advanced/override_grammar/basic for details",
    ),
    "hydra_too_few_gpus": ("config", "ValueError: Total available GPUs 1 is less than total desired GPUs 2"),
    "hydra_unknown_key": (
        "config",
        "Could not override 'data.nonsense'; To append to your config use +data.nonsense=3; "
        "Key 'nonsense' is not in struct",
    ),
    "hydra_unknown_key_full": (
        "config",
        "ConfigCompositionException: Could not override 'data.nonsense'. "
        "(caused by ConfigAttributeError: Key 'nonsense' is not in struct)",
    ),
    "model_folder_missing": (
        "config",
        "OSError: Repo id must use alphanumeric chars, '-', '_' or '.'. The name cannot start or end with '-' "
        "or '.' and the maximum length is 96: '/nonexist'.",
    ),
    "nccl_peer_lost": (
        "infra",
        "DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:77, "
        "remote process exited or there was a network error, NCCL version 2.27.5",
    ),
    "nccl_timeout_after_another_rank_raised": ("unknown", "IndexError: list index out of range"),
    "nccl_timeout_aborts_a_rank": (
        "infra",
        "DistBackendError: [PG ID 0 PG GUID 0(default_pg) Rank 1] Process group watchdog thread terminated with "
        "exception: [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=3, OpType=BROADCAST) "
        "ran for 600041 milliseconds before timing out.",
    ),
    "progress_bars_and_no_error": ("unknown", "the attempt ended with status 1; its last words: Killed"),
    "ray_actor_raised_in_its_creation": (
        "infra",
        "DistNetworkError: The server socket has failed to listen on any local network address. port: 18071, "
        "useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use",
    ),
    "ray_cuda_out_of_memory": (
        "oom",
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 79.11 "
        "GiB of which 1.17 GiB is free. Including non-PyTorch memory, this process has 77.93 GiB memory in use.",
    ),
    "ray_node_died": (
        "infra",
        "the attempt ended with status 1: ActorDiedError: The actor died because its node has died. Node Id: 8e03",
    ),
    "ray_value_error_in_worker": (
        "unknown",
        "ValueError: reward for sample 3 is not a number: 'abc' (caused by KeyError: 'reward')",
    ),
    "ray_worker_killed": (
        "killed",
        "the attempt ended with status 1: ActorDiedError: The actor is dead because its worker process has died. "
        "Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a connection error "
        "code 2. End of file.",
    ),
    "ray_worker_segmentation_fault": ("unknown", "Fatal Python error: Segmentation fault"),
    "reward_raised": ("reward", "ZeroDivisionError: division by zero"),
    "slurm_preempted": ("preempted", "Slurm took the node back or the time limit was reached"),
    "torchrun_one_rank_out_of_memory": (
        "oom",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you "
        "tried to allocate 4398046511104 bytes. Error code 12 (Cannot allocate memory)",
    ),
    "vllm_engine_would_not_start": (
        "oom",
        "ValueError: Free memory on device (9.1/79.2 GiB) on startup is less than desired GPU memory utilization "
        "(0.6, 47.5 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
    ),
}


def attempt_with(folder: Path, log: str = "", rows: list[dict] = []) -> Path:  # noqa: B006
    (folder / "log.txt").write_text(log)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_root_cause_in_a_log_is_shown_and_classed(tmp_path: Path, name: str) -> None:
    shutil.copy(LOGS / f"{name}.txt", tmp_path / "log.txt")
    failure = classify(tmp_path, returncode=1)
    assert (failure.kind, failure.message) == EXPECTED[name]


def test_a_lost_node_is_a_fault_of_the_machine_unless_slurm_says_it_was_memory(tmp_path: Path) -> None:
    lost = classify(attempt_with(tmp_path), error=NodeLost("n2"))
    assert (lost.kind, lost.message) == ("infra", "node n2: its part of the training is gone without a word")
    said = "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some of the step tasks have been OOM Killed.\n"
    assert classify(attempt_with(tmp_path, said), error=NodeLost("n2")).kind == "oom"


def test_every_sample_log_is_tested() -> None:
    assert {path.stem for path in LOGS.glob("*.txt")} == set(EXPECTED)


def test_every_class_says_what_to_do() -> None:
    assert set(HINTS) == set(FAILURE_CLASSES)
    assert Failure.of("oom", "x").hint == HINTS["oom"]


def test_a_failure_survives_json_and_a_later_versions_class_becomes_unknown() -> None:
    failure = Failure.of("infra", "gone")
    assert Failure.from_json(failure.to_json()) == failure
    assert Failure.from_json({"class": "cosmic", "message": "ray"}).kind == "unknown"


@pytest.mark.parametrize("returncode", [-9, None])
def test_a_killed_process_is_not_blamed_on_a_trace_back_it_survived(
    tmp_path: Path, returncode: int | None
) -> None:
    attempt_with(tmp_path, (LOGS / "assertion_without_words.txt").read_text() + "step:1\nstep:2\n")
    assert classify(tmp_path, returncode=returncode).kind == "killed"


def test_an_attempt_that_ended_unseen_on_a_full_disk_is_known_by_its_last_words(tmp_path: Path) -> None:
    said = "state.json: No space left on device (free some space)"
    (tmp_path / "log.txt").write_text(f"step:3\ntoolrl: {said}\n")
    assert classify(tmp_path, returncode=None) == Failure.of("infra", said)
    (tmp_path / "log.txt").write_text(f"toolrl: {said}\nstep:4\n")
    assert classify(tmp_path, returncode=None).kind == "killed"


def test_an_attempt_that_could_not_write_is_told_in_its_last_words(tmp_path: Path) -> None:
    attempt_with(tmp_path, "step:3\ntoolrl: state.json: No space left on device\n")
    failure = classify(tmp_path, returncode=74)
    told = "the attempt could not write its files: state.json: No space left on device"
    assert (failure.kind, failure.message) == ("infra", told)


def test_a_child_that_was_killed_is_told_by_name(tmp_path: Path) -> None:
    attempt_with(tmp_path)
    failure = classify(tmp_path, error=ChildFailed("verl.trainer.main_ppo", -9))
    assert failure == Failure.of("killed", "verl.trainer.main_ppo died of SIGKILL")


def test_a_crash_without_a_trace_back_keeps_its_signal(tmp_path: Path) -> None:
    failure = classify(attempt_with(tmp_path), error=ChildFailed("verl.trainer.main_ppo", -11))
    assert (failure.kind, failure.message) == ("unknown", "verl.trainer.main_ppo died of SIGSEGV")


def test_the_last_line_speaks_where_nothing_was_raised(tmp_path: Path) -> None:
    attempt_with(tmp_path, "loading\ntoolrl: state.json: No space left on device\n")
    failure = classify(tmp_path, returncode=1)
    assert failure.kind == "infra"
    assert "No space left on device" in failure.message


def test_a_note_about_the_reward_goes_before_everything_else(tmp_path: Path) -> None:
    shutil.copy(LOGS / "ray_cuda_out_of_memory.txt", tmp_path / "log.txt")
    (tmp_path / "reward_failure.json").write_text(json.dumps({"schema": 1, "error": "KeyError: 'name'"}))
    failure = classify(tmp_path, returncode=1)
    assert (failure.kind, failure.message) == ("reward", "KeyError: 'name'")
    assert f"toolrl reward explain {tmp_path / 'reward_failure.json'}" in failure.hint


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (StageError("no template", "model/", failure_class="config"), "config", "model/: no template"),
        (StageError("odd", failure_class="no such class"), "unknown", "odd"),
        (SpecError("no such reward"), "config", "no such reward"),
        (LedgerError("No space left on device", "a.json"), "infra", "a.json: No space left on device"),
        (BenchmarkError("empty"), "unknown", "empty"),
        (OSError(28, "No space left on device"), "infra", "OSError: [Errno 28] No space left on device"),
        (MemoryError(), "oom", "MemoryError"),
        (FileNotFoundError(2, "No such file or directory", "x"), "config", None),
        (ZeroDivisionError("division by zero"), "unknown", "ZeroDivisionError: division by zero"),
    ],
)
def test_an_exception_of_the_stage_itself_is_the_cause(
    tmp_path: Path, error: Exception, kind: str, message: str | None
) -> None:
    shutil.copy(LOGS / "ray_cuda_out_of_memory.txt", tmp_path / "log.txt")
    failure = classify(tmp_path, error=error)
    assert failure.kind == kind
    assert message is None or failure.message == message


def row(step: int, **data: float | None) -> dict:
    return {"step": step, "data": {name.replace("__", "/"): value for name, value in data.items()}}


@pytest.mark.parametrize("lost", [None, float("nan"), float("inf")])
def test_two_steps_without_a_finite_loss_are_a_divergence(tmp_path: Path, lost: float | None) -> None:
    rows = [row(1, actor__pg_loss=0.1), row(2, actor__pg_loss=lost), row(3, actor__pg_loss=lost)]
    failure = diverged(attempt_with(tmp_path, rows=rows) / "metrics.jsonl")
    assert failure == Failure.of("diverged", "actor/pg_loss is not a finite number since step 2")


def test_one_step_without_a_finite_loss_is_none(tmp_path: Path) -> None:
    rows = [row(1, actor__pg_loss=0.1), row(2, actor__pg_loss=None)]
    assert diverged(attempt_with(tmp_path, rows=rows) / "metrics.jsonl") is None


def test_validation_rows_between_two_training_steps_do_not_hide_a_divergence(tmp_path: Path) -> None:
    rows = [
        row(2, actor__pg_loss=None),
        row(2, val__acc=0.1),
        row(3, actor__pg_loss=None),
        row(3, val__acc=0.1),
    ]
    assert diverged(attempt_with(tmp_path, rows=rows) / "metrics.jsonl") is not None


def test_a_failure_after_lost_losses_is_a_divergence(tmp_path: Path) -> None:
    rows = [row(1, actor__pg_loss=None), row(2, actor__pg_loss=None)]
    attempt_with(tmp_path, (LOGS / "assertion_without_words.txt").read_text(), rows)
    assert classify(tmp_path, returncode=1).kind == "diverged"


def test_a_log_without_exceptions_has_no_root_cause() -> None:
    assert root_cause("step:1\nINFO: fine\nNote: done\n") is None


def test_a_message_that_starts_on_the_next_line_is_found() -> None:
    log = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nmylib.ConfigError:\n  no such key: x\n'
    assert str(root_cause(log)) == "ConfigError: no such key: x"


def test_a_long_message_stays_one_bounded_line() -> None:
    line = one_line("a\nb " * 1000)
    assert "\n" not in line
    assert len(line) == 500


def test_a_log_of_gigabytes_is_read_from_its_end(tmp_path: Path) -> None:
    with (tmp_path / "log.txt").open("wb") as log:
        log.seek(3 << 30)
        log.write((LOGS / "reward_raised.txt").read_bytes())
    assert classify(tmp_path, returncode=1).kind == "reward"


def test_retries_wait_longer_each_time_up_to_a_bound() -> None:
    rule = Retry(times=5, wait=10.0, longest=35.0)
    assert [rule.delay(earlier) for earlier in range(4)] == [10.0, 20.0, 35.0, 35.0]


@pytest.mark.parametrize("kind", ["config", "reward", "diverged", "unknown"])
def test_what_would_fail_again_is_not_retried(kind: str) -> None:
    assert Policy().retry(kind).times == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["preempted", "infra"])
def test_what_the_machine_did_is_retried_with_a_pause(kind: str) -> None:
    rule = Policy().retry(kind)  # type: ignore[arg-type]
    assert rule.times > 0
    assert rule.wait > 0


def test_a_step_that_finds_no_groups_that_differ_is_not_tried_again_as_it_is(tmp_path: Path) -> None:
    log = (
        "ray.exceptions.RayTaskError(StageError): \x1b[36mray::TaskRunner.run()\x1b[39m (pid=1, ip=127.0.0.1)\n"
        '  File "/x/toolrl_cli/training/replay_buffer.py", line 107, in _counted_refill\n'
        "    raise StageError(\n"
        "toolrl_cli.errors.StageError: rl.dynamic_sampling: at step 1 all responses to 12 prompts earned the same\n"
    )
    failure = classify(attempt_with(tmp_path, "Traceback (most recent call last):\n" + log), returncode=1)
    assert failure.kind == "config" and "at step 1 all responses to 12 prompts" in failure.message
