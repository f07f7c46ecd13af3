"""The GPUs of this machine by name, asked of the driver without CUDA."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence

DEVICES = "CUDA_VISIBLE_DEVICES"


DRIVER_PATIENCE = 20.0  # seconds for `nvidia-smi` to answer


def visible_gpus(listing: str | None = None) -> list[str]:
    """Names of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` wants them.

    Args:
        listing: what `nvidia-smi -L` prints; None to ask it.
    """
    chosen = os.environ.get(DEVICES)
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() and name.strip() != "-1"]
    if listing is None:
        listing = _nvidia_smi()
    lines = [line for line in listing.splitlines() if line.startswith("GPU ")]
    return [line.removeprefix("GPU ").partition(":")[0].strip() for line in lines]


def lock_names(names: Sequence[str], listing: str | None = None) -> dict[str, str]:
    """One name for each GPU that is the same in all processes of this machine, for locks.

    Args:
        names: numbers or (beginnings of) UUIDs, as in `CUDA_VISIBLE_DEVICES`.
        listing: what `nvidia-smi -L` prints; None to ask it.
    """
    if listing is None:
        listing = _nvidia_smi()
    uuids = re.findall(r"\(UUID: ([^)]+)\)", listing)
    by_number = dict(re.findall(r"^GPU (\d+):.*\(UUID: ([^)]+)\)", listing, re.MULTILINE))
    return {
        name: by_number.get(name) or next((u for u in uuids if u.startswith(name)), f"GPU {name}")
        for name in names
    }


def _nvidia_smi() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        # a broken driver answers with an error or not at all: no GPU can be used
        answer = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=DRIVER_PATIENCE, check=False
        )
        return answer.stdout if answer.returncode == 0 else ""
    return ""
