"""Whether training runs on CUDA or on the CPU here, decided without importing torch where no GPU can be."""

from __future__ import annotations

import os
import shutil
from typing import Literal

from toolrl_cli.errors import StageError

Device = Literal["cpu", "cuda"]


def choose_device(wanted: str) -> Device:
    """Resolve `resources.device`.

    Args:
        wanted: `auto`, `cpu` or `cuda`. `auto` is CUDA where torch can use a GPU.

    Raises:
        StageError: `cuda` was asked for and torch sees none (class `config`).
    """
    if wanted == "cpu":
        return "cpu"
    if cuda_usable():
        return "cuda"
    if wanted == "cuda":
        raise StageError(
            "CUDA was asked for and torch sees no GPU",
            "resources.device",
            "install a CUDA build of torch and check nvidia-smi, or use device: auto",
            failure_class="config",
        )
    return "cpu"


def planned_device(wanted: str) -> Device:
    """What `choose_device` would most likely say on this machine, without importing torch and refusing nothing.

    Args:
        wanted: `auto`, `cpu` or `cuda`; the last holds on a machine without a GPU too, which may plan for others.
    """
    if wanted == "auto":
        return "cuda" if _cuda_possible() else "cpu"
    return "cpu" if wanted == "cpu" else "cuda"


def cuda_usable() -> bool:
    """True where the driver's tool is on the path, no variable hides the GPUs, and torch can use one."""
    if not _cuda_possible():
        return False
    import torch

    return bool(torch.cuda.is_available())


def _cuda_possible() -> bool:
    return shutil.which("nvidia-smi") is not None and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1")
