"""What a plan has to know of the machine: its GPUs, and the free space of the disk that results go to."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from toolrl_cli.processes.gpus import DRIVER_PATIENCE, visible_gpus
from toolrl_cli.processes.memory import memory


@dataclass(frozen=True)
class Machine:
    """The machine.

    Attributes:
        gpus: names of the GPUs that may be used.
        gpu_total: bytes of the smallest of them, or None where that is not known.
        free: bytes that may be written to the results root's file system.
        place: a folder of that file system.
        memory: bytes that processes here may use; None where that does not matter.
    """

    gpus: tuple[str, ...]
    gpu_total: int | None
    free: int
    place: Path
    memory: int | None = None

    def slots(self, widest: int, max_parallel: int | None, *, cpu: bool = False) -> tuple[int, int]:
        """Slots that the local launcher makes, and most attempts at a time; see `LocalLauncher.detect`.

        Args:
            widest: slots of the stage that needs most.
            max_parallel: the option, or None.
            cpu: no stage uses a GPU.
        """
        slots = 0 if cpu else len(self.gpus)
        slots = slots or max(max_parallel or 1, widest)
        return slots, max_parallel or slots


def this_machine(results: Path) -> Machine:
    """The machine that this runs on."""
    gpus = tuple(visible_gpus())
    place = existing_part(results)
    return Machine(gpus, gpu_memory() if gpus else None, shutil.disk_usage(place).free, place, memory().total)


def existing_part(path: Path) -> Path:
    """The nearest existing folder at or above `path`."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.is_dir())


def gpu_memory(answer: str | None = None) -> int | None:
    """Bytes of the smallest GPU, by `nvidia-smi`; None where it does not tell.

    Args:
        answer: what it prints, one number of MiB a line; None to ask it.
    """
    if answer is None:
        program = shutil.which("nvidia-smi")
        if program is None:
            return None
        query = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(query, capture_output=True, text=True, timeout=DRIVER_PATIENCE, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        answer = done.stdout if done.returncode == 0 else ""
    sizes = [int(line) for line in answer.split() if line.strip().isdecimal()]
    return min(sizes) << 20 if sizes else None
