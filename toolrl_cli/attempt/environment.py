"""What an attempt ran with: versions, host, devices, and the settings in its environment, without secrets."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from toolrl_cli.attempt.code_version import code_identity
from toolrl_cli.processes.gpus import DEVICES
from toolrl_cli.processes.process_id import host_name
from toolrl_cli.store.schemas import ENVIRONMENT

PACKAGES = (
    "toolrl-cli",
    "verl",
    "torch",
    "transformers",
    "ray",
    "TransferQueue",
    "tensordict",
    "vllm",
    "flash-attn",
    "numpy",
    "wandb",
)
_SETTINGS = re.compile(
    r"^(?:CUDA|NCCL|GLOO|OMP|MKL|PYTORCH|TORCH|PYTHON|RAY|VERL|TOKENIZERS|TRANSFORMERS|HF|HYDRA|VLLM|WANDB|TOOLRL"
    r"|SLURM)_"
)
_SECRET = re.compile(r"KEY|TOKEN(?!IZER)|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH|COOKIE", re.I)


def describe_environment(variables: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The content of `environment.json`.

    Of the environment only the settings of the software in play are kept, by prefix; a name that could hold a
    secret is left out even then.
    """
    return {
        "schema": ENVIRONMENT.schema,
        "host": host_name(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "devices": variables.get(DEVICES),
        "gpus": gpu_models(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "versions": installed_versions(),
        "code": code_identity(),
        "environment": settings(variables),
    }


def gpu_models(drivers: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """Models of this machine's GPUs as the driver tells them, without asking CUDA; empty where it tells none."""
    models = []
    for path in sorted(drivers.glob("*/information")):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            lines = path.read_text(encoding="utf-8").splitlines()
            models += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return models


def installed_versions() -> dict[str, str]:
    """Package → version, of the packages that results may depend on and that are installed."""
    return {name: version for name in PACKAGES if (version := _version(name))}


def settings(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that may be written down."""
    return {
        name: value
        for name, value in sorted(variables.items())
        if _SETTINGS.match(name) and not _SECRET.search(name)
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
