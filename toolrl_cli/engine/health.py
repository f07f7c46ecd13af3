"""Checks of this machine: what is there, what is wrong, and the command that mends it."""

from __future__ import annotations

import importlib.util
import netrc
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.specifiers import SpecifierSet
from packaging.version import Version

Standing = Literal["ok", "warning", "error"]

GIB = 1 << 30
DISK_WANTED = 5 * GIB
FILES_WANTED = 4096
VERL = "0.9.1"


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        standing: `error`: runs will fail; `warning`: some runs will, or something is unknown.
        found: what is there.
        fix: the command or change that mends it; empty where nothing is wrong.
    """

    name: str
    standing: Standing
    found: str
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """Stable keys for `doctor --json`."""
        return asdict(self)


def run_checks(results: Path) -> list[Check]:
    """All checks; imports torch, because only torch knows whether it can use a GPU."""
    checks: list[Callable[[], Check]] = [
        _python,
        lambda: _package("verl", f"=={VERL}", f"pip install verl=={VERL}"),
        _torch,
        lambda: _package("transformers", ">=5.5.3,<5.11,!=5.6.0", "pip install 'transformers>=5.5.3,<5.11'"),
        lambda: _package("TransferQueue", ">=0.1.10", "pip install 'TransferQueue>=0.1.10'"),
        lambda: _package("ray", ">=2.50", "pip install 'ray[default]'"),
        _plugin,
        _gpus,
        _vllm,
        _slurm,
        _wandb,
        lambda: _disk(results),
        _open_files,
        _memory,
    ]
    return [check() for check in checks]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 10) <= sys.version_info[:2] <= (3, 12)
    return Check(
        "Python", "ok" if good else "error", version, "" if good else "use Python 3.10, 3.11 or 3.12"
    )


def _package(name: str, wanted: str, fix: str) -> Check:
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, "error", "not installed", fix)
    good = SpecifierSet(wanted, prereleases=True).contains(Version(found))
    return Check(
        name, "ok" if good else "error", found if good else f"{found}; wanted {wanted}", "" if good else fix
    )


def _torch() -> Check:
    fix = "pip install 'torch>=2.11,<2.14'"
    check = _package("torch", ">=2.11,<2.14", fix)
    if check.standing != "ok":
        return check
    try:
        import torch
    except (ImportError, OSError) as error:  # a broken CUDA library shows only here
        return Check("torch", "error", f"does not import: {str(error).splitlines()[0]}", fix)
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    return Check("torch", "ok", f"{torch.__version__} ({build})")


def _plugin() -> Check:
    points = {p.name: p.value for p in metadata.entry_points(group="verl.plugins")}
    if "toolrl" not in points:
        return Check(
            "verl plugin",
            "error",
            "not registered",
            "pip install -e . (or toolrl-cli), so that verl finds it",
        )
    if importlib.util.find_spec(points["toolrl"]) is None:
        return Check("verl plugin", "error", f"{points['toolrl']} is missing", "reinstall toolrl-cli")
    return Check("verl plugin", "ok", points["toolrl"])


def _gpus() -> Check:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Check("GPUs", "ok", "none (no nvidia-smi): everything runs on the CPU")
    query = [tool, "--query-gpu=name,driver_version,memory.free,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return Check("GPUs", "error", "nvidia-smi does not answer", "reload the driver, or reboot")
    rows = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    if answer.returncode or not rows:
        told = (answer.stderr or answer.stdout).strip().splitlines()
        return Check(
            "GPUs", "error", told[0] if told else "nvidia-smi failed", "check the driver with nvidia-smi"
        )
    import torch

    listed = "; ".join(rows)
    if not torch.cuda.is_available():
        fix = "install a CUDA build of torch that fits the driver"
        return Check("GPUs", "warning", f"{listed}; torch cannot use them", fix)
    return Check("GPUs", "ok", listed)


def _vllm() -> Check:
    try:
        return Check("vLLM", "ok", metadata.version("vllm"))
    except metadata.PackageNotFoundError:
        found = "not installed: rollouts use the Transformers server"
        return Check("vLLM", "ok", found, "pip install 'toolrl-cli[gpu]' for large models on GPUs")


def _slurm() -> Check:
    missing = [name for name in ("sbatch", "squeue", "scontrol") if shutil.which(name) is None]
    if len(missing) == 3:
        return Check("Slurm", "ok", "not here")
    if missing:
        return Check("Slurm", "warning", f"{', '.join(missing)} missing", "install the Slurm client tools")
    return Check("Slurm", "ok", str(shutil.which("sbatch")))


def _wandb() -> Check:
    mode = os.environ.get("WANDB_MODE", "")
    if mode in ("offline", "disabled"):
        return Check("W&B", "ok", f"WANDB_MODE={mode}")
    if os.environ.get("WANDB_API_KEY"):
        return Check(
            "W&B",
            "ok",
            "an API key is in the environment; whether it is valid was not asked (no network used)",
        )
    try:
        known = netrc.netrc().hosts
    except (FileNotFoundError, netrc.NetrcParseError):
        known = {}
    if any("wandb" in host for host in known):
        return Check(
            "W&B", "ok", "logged in by ~/.netrc; whether the key is valid was not asked (no network used)"
        )
    return Check("W&B", "ok", "not logged in: runs are kept offline", "wandb login, then toolrl sync")


def _disk(results: Path) -> Check:
    existing = next(p for p in (results, *results.parents) if p.exists())
    if not os.access(existing, os.W_OK):
        return Check(
            "results root", "error", f"{existing} is not writable", f"chmod u+w {existing}, or --results DIR"
        )
    free = shutil.disk_usage(existing).free
    found = f"{results}: {free / GIB:.1f} GiB free"
    if free < DISK_WANTED:
        return Check("results root", "warning", found, "free some space, or --results on another disk")
    return Check("results root", "ok", found)


def _open_files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES_WANTED:
        return Check(
            "open files", "warning", f"limit {soft}", f"ulimit -n {min(hard, 65536) if hard > 0 else 65536}"
        )
    return Check("open files", "ok", f"limit {soft}")


def _memory() -> Check:
    import psutil

    free = psutil.virtual_memory().available
    found = f"{free / GIB:.1f} GiB free, {os.cpu_count()} logical CPUs"
    if free < 4 * GIB:
        return Check("memory", "warning", found, "close other programs: an RL stage on CPU needs about 4 GiB")
    return Check("memory", "ok", found)


def worst(checks: list[Check]) -> Standing:
    """The gravest standing."""
    found: Iterator[Standing] = (c.standing for c in checks)
    return max(found, key=["ok", "warning", "error"].index, default="ok")
