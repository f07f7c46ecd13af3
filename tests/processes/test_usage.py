from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolrl_cli.processes.usage import Usage, gpu_usage, gpu_values

ANSWER = """0, 97, 65536, 143771, 412.55, 61
1, [N/A], 512, 143771, [N/A], 30
"""


def test_what_a_tree_uses_counts_the_processes_below() -> None:
    usage = Usage(os.getpid())
    busy = "import time; b = bytearray(300 << 20); print(flush=True)\nwhile True: pass"
    child = subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline()
        for _ in range(3):
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.2)
        found = usage.look()
    finally:
        child.kill()
        child.wait()
    assert found["attempt/processes"] >= 2
    assert found["attempt/memory_gib"] > 0.3
    assert found["attempt/processors"] > 0.05
    assert 0 < found["host/memory_percent"] <= 100
    assert usage.look()["attempt/memory_gib"] < found["attempt/memory_gib"]


def test_gpus_are_read_as_the_driver_tells_them_and_what_it_does_not_tell_is_left_out() -> None:
    assert gpu_values(ANSWER) == {
        "gpu0/utilization_percent": 97.0,
        "gpu0/memory_gib": 64.0,
        "gpu0/memory_total_gib": 140.401,
        "gpu0/power_watts": 412.55,
        "gpu0/temperature_celsius": 61.0,
        "gpu1/memory_gib": 0.5,
        "gpu1/memory_total_gib": 140.401,
        "gpu1/temperature_celsius": 30.0,
    }
    assert gpu_values("No devices were found\n") == {}


def test_only_the_gpus_of_this_process_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\necho "3, 50, 1024, 2048, 1, 2"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_usage() == {}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert gpu_usage()["gpu3/utilization_percent"] == 50.0
    assert (tmp_path / "asked").read_text().strip().endswith("--id=3")
    program.write_text("#!/bin/sh\nexit 9\n")
    assert gpu_usage() == {}
