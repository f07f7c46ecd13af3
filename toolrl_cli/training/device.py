"""Chooses between CUDA and CPU, without importing torch on a machine that has no GPU."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Literal

from toolrl_cli.errors import StageError

if TYPE_CHECKING:
    from toolrl_cli.spec.stage_config import ModelConfig

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


def device_for(config: ModelConfig) -> Device:
    """The device of a stage with a model, which computes in the precision that it was planned for.

    Raises:
        StageError: as `choose_device`; or the device computes in another precision (class `config`).
    """
    device, wanted = choose_device(config.resources.device), config.asked_precision
    if device == "cuda" and wanted is not None:
        raise StageError(
            f"planned for a CPU, where {wanted} is {config.precision}, and this machine has a GPU",
            "resources.device",
            "issue `toolrl sweep FILE` again with --set resources.device=cuda (or =cpu)",
            failure_class="config",
        )
    if device == "cpu" and config.precision != "fp32":
        raise StageError(
            f"planned in {config.precision}, and a CPU trains in fp32; torch sees no GPU here",
            "resources.device",
            "issue `toolrl sweep FILE` again with --set resources.device=cpu, or see `toolrl doctor`",
            failure_class="config",
        )
    return device


def planned_device(wanted: str) -> Device:
    """The likely result of `choose_device` on this machine, without importing torch and without errors.

    Args:
        wanted: `auto`, `cpu` or `cuda`; `cuda` is accepted without a GPU too, to plan for another machine.
    """
    if wanted == "auto":
        return "cuda" if _cuda_possible() else "cpu"
    return "cpu" if wanted == "cpu" else "cuda"


def cuda_usable() -> bool:
    """Whether the driver's tool is on the path, no variable hides the GPUs, and torch can use one."""
    if not _cuda_possible():
        return False
    import torch

    return bool(torch.cuda.is_available())


def _cuda_possible() -> bool:
    return shutil.which("nvidia-smi") is not None and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1")
