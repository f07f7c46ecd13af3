from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from toolrl_cli.attempt.environment import describe_environment, settings
from toolrl_cli.errors import LaunchError
from toolrl_cli.harness import launchers
from toolrl_cli.harness.launcher import LaunchRequest, Seen
from toolrl_cli.harness.launchers import local
from toolrl_cli.harness.launchers.local import LocalLauncher
from toolrl_cli.harness.scheduling.interrupts import Interrupts
from toolrl_cli.processes import gpus
from toolrl_cli.processes.gpus import visible_gpus
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.liveness import local_alive

LISTING = """GPU 0: NVIDIA H200 (UUID: GPU-5b1c)
GPU 1: NVIDIA H200 (UUID: GPU-77aa)
"""


@pytest.fixture
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("no_choice")
def test_every_gpu_that_the_driver_lists_is_a_slot() -> None:
    assert visible_gpus(LISTING) == ["0", "1"]


@pytest.mark.usefixtures("no_choice")
@pytest.mark.parametrize(
    "listing", ["", "No devices found.\n", "Failed to initialize NVML: Driver/library mismatch\n"]
)
def test_a_machine_without_a_usable_gpu_has_none(listing: str) -> None:
    assert visible_gpus(listing) == []


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("3, 5", ["3", "5"]),
        ("GPU-77aa", ["GPU-77aa"]),
        ("", []),
        ("-1", []),
        ("MIG-1,MIG-2", ["MIG-1", "MIG-2"]),
    ],
)
def test_the_users_choice_of_gpus_is_kept(
    monkeypatch: pytest.MonkeyPatch, value: str, names: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus(LISTING) == names


@pytest.mark.usefixtures("no_choice")
def test_the_driver_is_asked_without_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!{sys.executable}\nimport sys\nassert sys.argv[1:] == ['-L']\nprint({LISTING!r})\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert LocalLauncher.detect().slots == ("0", "1")


@pytest.mark.usefixtures("no_choice")
@pytest.mark.parametrize("code", ["raise SystemExit(9)", "import time; time.sleep(60)"])
def test_a_broken_driver_means_cpu_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!{sys.executable} -S\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpus, "DRIVER_PATIENCE", 0.3)
    assert LocalLauncher.detect(cpu_slots=3).slots == ("cpu0", "cpu1", "cpu2")


def request(folder: Path) -> LaunchRequest:
    (folder / "attempts" / "1").mkdir(parents=True)
    return LaunchRequest(folder, StageSpec("a", "export", {}, {}, {}), 1, ("cpu0",), ProcessId.current())


def test_a_handle_tells_who_where_and_by_whom(tmp_path: Path) -> None:
    launcher = LocalLauncher()
    handle = launcher.submit(request(tmp_path))
    assert handle["kind"] == "local"
    assert handle["slots"] == ["cpu0"]
    assert handle["harness"]["pid"] == os.getpid()
    assert local_alive(handle) in (True, False)
    launcher.wait([handle], os.open(os.devnull, os.O_RDONLY), 0.0)
    while launcher.poll([handle])[0].alive:
        time.sleep(0.01)


def test_the_wait_ends_as_soon_as_an_attempt_does_and_its_exit_status_is_known(tmp_path: Path) -> None:
    launcher = LocalLauncher()
    handle = launcher.submit(request(tmp_path))  # without spec.json it ends at once, with status 74
    reader, writer = os.pipe()
    began = time.monotonic()
    while (seen := launcher.poll([handle])[0]).alive:
        launcher.wait([handle], reader, 20.0)
    assert seen == Seen("ended", 74)
    assert time.monotonic() - began < 15
    assert launcher.poll([handle]) == [Seen("ended")]
    os.close(reader)
    os.close(writer)


def test_a_wake_ends_the_wait() -> None:
    interrupts = Interrupts()
    interrupts.request()
    began = time.monotonic()
    LocalLauncher().wait([], interrupts.fd, 20.0)
    assert time.monotonic() - began < 5
    interrupts.clear()
    LocalLauncher().wait([], interrupts.fd, 0.01)
    assert interrupts.requests == 1
    interrupts.close()
    interrupts.request()
    assert interrupts.requests == 2


def test_an_attempt_of_an_earlier_harness_is_watched_without_being_its_parent(tmp_path: Path) -> None:
    handle = LocalLauncher().submit(request(tmp_path))
    later, (wake, other) = LocalLauncher(), os.pipe()
    while later.poll([handle])[0].alive:
        later.wait([handle], wake, 0.05)
    os.close(wake)
    os.close(other)
    assert later.poll([handle]) == [Seen("ended")]


def test_a_handle_of_another_launcher_says_nothing_about_life() -> None:
    assert local_alive({"kind": "slurm", "job": "71233"}) is None


def test_a_machine_without_room_for_a_process_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **rest: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(local.subprocess, "Popen", refuse)
    with pytest.raises(LaunchError, match=r"Resource temporarily unavailable .*ulimit"):
        LocalLauncher().submit(request(tmp_path))


def test_only_settings_are_kept_of_the_environment_and_no_secret() -> None:
    kept = settings(
        {
            "WANDB_API_KEY": "x",
            "HF_TOKEN": "x",
            "RAY_AUTH_MODE": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "DATABASE_URL": "x",
            "NCCL_DEBUG": "INFO",
            "TOKENIZERS_PARALLELISM": "false",
            "CUDA_VISIBLE_DEVICES": "0",
        }
    )
    assert kept == {"CUDA_VISIBLE_DEVICES": "0", "NCCL_DEBUG": "INFO", "TOKENIZERS_PARALLELISM": "false"}


def test_the_environment_names_versions_of_what_is_installed_and_nothing_else() -> None:
    versions = describe_environment({})["versions"]
    assert versions["torch"]
    assert "vllm" not in versions or versions["vllm"]


def test_the_package_names_its_launchers() -> None:
    assert "launcher" in (launchers.__doc__ or "")
