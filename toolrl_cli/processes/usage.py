"""What a process with all below it uses of the machine, and how busy the machine and its GPUs are."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time

from toolrl_cli.processes.gpus import DEVICES
from toolrl_cli.processes.memory import memory

GIB = 1 << 30
PATIENCE = 10.0  # seconds for `nvidia-smi`, which waits for a GPU that has fallen off the bus
GPU = {  # what the driver's program calls it → ours, and what it is divided by
    "utilization.gpu": ("utilization_percent", 1.0),
    "memory.used": ("memory_gib", 1024.0),
    "memory.total": ("memory_total_gib", 1024.0),
    "power.draw": ("power_watts", 1.0),
    "temperature.gpu": ("temperature_celsius", 1.0),
}


class Usage:
    """Looks at a process's tree again and again.

    Args:
        pid: of the process.
    """

    def __init__(self, pid: int) -> None:
        import psutil

        self._root = psutil.Process(pid)
        self._took: dict[int, float] = {}
        self._looked = time.monotonic()
        self._count()
        psutil.cpu_percent()

    def look(self) -> dict[str, float]:
        """`attempt/…` of the tree since the last look, `host/…` and `gpu<index>/…` of the machine now.

        Processors are processor seconds a second; memory is resident, in GiB, and counts what processes share in each.
        """
        import psutil

        before, self._took = self._took, {}
        resident, processes = self._count()
        now = time.monotonic()
        spent = sum(max(0.0, took - before.get(pid, 0.0)) for pid, took in self._took.items())
        elapsed, self._looked = max(now - self._looked, 1e-3), now
        here = memory()
        return {
            "attempt/processors": round(spent / elapsed, 3),
            "attempt/memory_gib": round(resident / GIB, 3),
            "attempt/processes": processes,
            "host/processors_percent": psutil.cpu_percent(),
            "host/memory_percent": round(100.0 * (1.0 - here.free / here.total), 1),
            **gpu_usage(),
        }

    def _count(self) -> tuple[int, int]:
        """Note the processor seconds of each process; resident bytes, and how many processes there are."""
        import psutil

        resident = 0
        for process in [self._root, *self._root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                times = process.cpu_times()
                resident += process.memory_info().rss
                self._took[process.pid] = times.user + times.system
        return resident, len(self._took)


def gpu_usage() -> dict[str, float]:
    """`gpu<index>/<what>` of the GPUs that this process may use; empty where there is none, or the driver is silent."""
    chosen = os.environ.get(DEVICES)
    program = shutil.which("nvidia-smi")
    if program is None or (chosen is not None and chosen.strip() in ("", "-1")):
        return {}
    command = [program, f"--query-gpu=index,{','.join(GPU)}", "--format=csv,noheader,nounits"]
    command += [f"--id={chosen}"] if chosen else []
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return gpu_values(answer.stdout) if answer.returncode == 0 else {}


def gpu_values(answer: str) -> dict[str, float]:
    """The same, from what `nvidia-smi` answered; what a GPU does not tell (`[N/A]`) is left out."""
    found: dict[str, float] = {}
    for line in answer.splitlines():
        index, *values = (value.strip() for value in line.split(","))
        for (name, divisor), value in zip(GPU.values(), values, strict=False):
            with contextlib.suppress(ValueError):
                found[f"gpu{index}/{name}"] = round(float(value) / divisor, 3)
    return found
