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
from toolrl_cli.spec.secrets import LOGIN
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
HARMLESS = re.compile(
    r"""
    CUDA_(?:DEVICE_MAX_CONNECTIONS|DEVICE_ORDER|HOME|LAUNCH_BLOCKING|MODULE_LOADING|VISIBLE_DEVICES)
    | CUBLAS_WORKSPACE_CONFIG | GLOO_SOCKET_IFNAME
    | NCCL_(?:ALGO|ASYNC_ERROR_HANDLING|BUFFSIZE|CROSS_NIC|CUMEM_ENABLE|DEBUG|DEBUG_SUBSYS|NET_GDR_LEVEL|NVLS_ENABLE
        |IB_(?:DISABLE|GID_INDEX|HCA|TIMEOUT)|P2P_DISABLE|P2P_LEVEL|PROTO|SHM_DISABLE|SOCKET_IFNAME|TIMEOUT)
    | MKL_NUM_THREADS | OMP_(?:NUM_THREADS|PROC_BIND|WAIT_POLICY) | PYTHONHASHSEED
    | PYTORCH_(?:ALLOC_CONF|CUDA_ALLOC_CONF) | TORCH_(?:CUDA_ARCH_LIST|LOGS|NCCL_AVOID_RECORD_STREAMS)
    | HF_(?:DATASETS_OFFLINE|ENDPOINT|HOME|HUB_CACHE|HUB_OFFLINE) | TOKENIZERS_PARALLELISM | HYDRA_FULL_ERROR
    | TRANSFORMERS_(?:CACHE|OFFLINE|VERBOSITY)
    | RAY_(?:DEDUP_LOGS|TMPDIR|memory_monitor_refresh_ms|memory_usage_threshold)
    | VERL_(?:FILE_LOGGER_PATH|LOGGING_LEVEL|PLATFORM|PPO_LOGGING_LEVEL|USE_EXTERNAL_MODULES)
    | VLLM_(?:ATTENTION_BACKEND|LOGGING_LEVEL|USE_V1|WORKER_MULTIPROC_METHOD)
    | TOOLRL_(?:ATTEMPT|CACHE|CUDA_ENGINES|HOST_PYTHON|RESULTS|SEED|SLOTS)
    | WANDB_(?:BASE_URL|DISABLED|ENTITY|MODE|PROJECT|RUN_GROUP|SILENT)
    | SLURM_(?:ARRAY_JOB_ID|ARRAY_TASK_ID|CLUSTER_NAME|CPUS_ON_NODE|CPUS_PER_TASK|GPUS|GPUS_ON_NODE|GPUS_PER_NODE
        |JOB_(?:ACCOUNT|GPUS|ID|NAME|NODELIST|NUM_NODES|PARTITION|QOS)|MEM_PER_CPU|MEM_PER_NODE|NNODES|NODEID
        |NODELIST|NTASKS|PROCID|RESTART_COUNT) | SLURMD_NODENAME
    """,
    re.X,
)
"""The variables that are written down: those that tell runs apart, and never hold a secret by their meaning."""


def describe_environment(variables: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The content of `environment.json`.

    Of the environment only variables that are known to be harmless are kept; of URLs the login is cut.
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
        name: LOGIN.sub("", value) for name, value in sorted(variables.items()) if HARMLESS.fullmatch(name)
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
