"""Checks of the machine itself: GPUs and their driver, disk, memory, and the limits on processes."""

from __future__ import annotations

import os
import re
import resource
import shutil
import tempfile
from pathlib import Path

from toolrl_cli.housekeeping.health.check import Check, ask
from toolrl_cli.housekeeping.health.requirements import declared, pip_install
from toolrl_cli.planning.forecasts.this_machine import existing_part
from toolrl_cli.processes.memory import GROUP
from toolrl_cli.processes.memory import memory as usable_memory
from toolrl_cli.training.cuda.cuda_options import NOT_INSTALLED, flash_attention_fault

GIB = 1 << 30
DISK_WANTED = 5 * GIB
TEMPORARY_WANTED = GIB
SHARED_WANTED = GIB
MEMORY_WANTED = 4 * GIB
FILES_WANTED = 4096
PROCESSES_WANTED = 4096
INODES_WANTED = 100_000
GPU_SHARE_WANTED = 0.9
"""Share of a GPU's memory that should be free: training takes what it can get."""
SOCKET_PATH = 107
"""Longest path of a Unix socket; Ray's lie below the folder for temporary files."""
RAY_BELOW = len("/ray/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store")

TORCH_BUILDS = {"12": "cu126", "13": "cu130"}
"""Major CUDA version of a driver → the build of torch 2.11 and later that runs on every driver of it."""

_CUDA_VERSION = re.compile(r"CUDA (?:UMD )?Version:\s*(\d+)\.(\d+)")
_DRIVER_VERSION = re.compile(r"Driver Version:\s*([\d.]+)")


def gpus_seen() -> bool:
    """Whether there is a driver's tool that could tell of GPUs."""
    return shutil.which("nvidia-smi") is not None


def cuda() -> Check:
    """Whether driver, torch's CUDA and flash-attn go together.

    The major version of torch's CUDA must not be newer than the driver's; without flash-attn all works, with one that
    does not import models may fail to load.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Check("CUDA and driver", "ok", "no driver (no nvidia-smi): everything runs on the CPU")
    answer = ask([tool])
    if answer.fault:
        fix = "nvidia-smi must work first: sudo modprobe nvidia, or reboot after a driver update"
        return Check("CUDA and driver", "error", f"nvidia-smi: {answer.fault}", fix)
    driver, known = _DRIVER_VERSION.search(answer.out), _CUDA_VERSION.search(answer.out)
    named = f"driver {driver[1]}" if driver else "driver of unknown version"
    if known is None:
        return Check("CUDA and driver", "warning", f"{named}; nvidia-smi tells no CUDA version", "nvidia-smi")
    offered = f"{named} for CUDA up to {known[1]}.{known[2]}"
    built = _torch_cuda()
    build = TORCH_BUILDS.get(known[1])
    fix = f"{pip_install(declared('torch'), '--force-reinstall')} --index-url https://download.pytorch.org/whl/{build}"
    if build is None:
        fix = f"update the driver: torch is built for CUDA {' and '.join(TORCH_BUILDS)}"
    if built is None:
        found = f"{offered}; torch is a CPU build or missing: everything would run on the CPU"
        return Check("CUDA and driver", "warning", found, fix)
    if int(built.partition(".")[0]) > int(known[1]):
        fix = f"update the driver to one for CUDA {built}, or {fix}" if build else fix
        found = f"{offered}, too old: torch was built for CUDA {built}"
        return Check("CUDA and driver", "error", found, fix)
    found = f"{offered}; torch was built for CUDA {built}"
    flash = flash_attention_fault()
    if flash is None:
        return Check("CUDA and driver", "ok", f"{found}; flash-attn is used in bf16")
    if flash == NOT_INSTALLED:
        return Check("CUDA and driver", "ok", f"{found}; flash-attn is not installed: sdpa is used instead")
    fix = "pip uninstall flash-attn (sdpa does in its place), or build it for this torch: "
    fix += "pip install --no-build-isolation --force-reinstall --no-deps flash-attn"
    return Check("CUDA and driver", "error", f"{found}; flash-attn {flash}", fix)


def gpus() -> Check:
    """Which GPUs there are, and whether their memory is free and torch can use them."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Check("GPUs", "ok", "none")
    query = [tool, "--query-gpu=index,name,memory.free,memory.total", "--format=csv,noheader,nounits"]
    answer = ask(query)
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.out.splitlines() if line.strip()]
    if answer.fault or not rows:
        told = answer.fault or "it lists none"
        return Check(
            "GPUs", "error", f"nvidia-smi: {told}", "nvidia-smi -L must list them; ask who runs the machine"
        )
    found, busy = [], []
    for row in rows:
        index, name, free, total = [*row, "", "", ""][:4]
        if not (free.isdecimal() and total.isdecimal()):
            found.append(f"{index}: {name}")
            continue
        found.append(f"{index}: {name}, {int(free) / 1024:.0f} of {int(total) / 1024:.0f} GiB free")
        if int(free) < GPU_SHARE_WANTED * int(total):
            busy.append(index)
    listed = "; ".join(found)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        listed += f"; CUDA_VISIBLE_DEVICES={hidden}"
    if not _torch_sees_gpus():
        fix = "unset CUDA_VISIBLE_DEVICES" if hidden in ("", "-1") else "see CUDA and driver above"
        return Check("GPUs", "warning", f"{listed}; torch cannot use them", fix)
    if busy:
        free_ones = ",".join(row[0] for row in rows if row[0] not in busy)
        fix = "end what runs on them (nvidia-smi lists it)"
        if free_ones:
            fix += f", or export CUDA_VISIBLE_DEVICES={free_ones}"
        return Check("GPUs", "warning", f"{listed}; in use: {', '.join(busy)}", fix)
    return Check("GPUs", "ok", listed)


def results_root(results: Path) -> Check:
    """Whether the results root can be written and has room."""
    name = "results root"
    in_the_way = next((p for p in (results, *results.parents) if p.exists() and not p.is_dir()), None)
    if in_the_way is not None:
        return Check(
            name, "error", f"{in_the_way} is not a folder", "--results DIR, or export TOOLRL_RESULTS=DIR"
        )
    existing = existing_part(results)
    if not os.access(existing, os.W_OK | os.X_OK):
        return Check(name, "error", f"{existing} is not writable", f"chmod u+wx {existing}, or --results DIR")
    free, inodes = shutil.disk_usage(existing).free, os.statvfs(existing)
    found = f"{results}: {free / GIB:.1f} GiB free"
    if free < DISK_WANTED:
        return Check(
            name, "warning", found, "toolrl gc frees what is not needed; or --results on another disk"
        )
    if inodes.f_files > 0 and inodes.f_favail < INODES_WANTED:
        found += f", and only {inodes.f_favail} files more"
        return Check(name, "warning", found, "remove small files (df -i), or --results on another disk")
    return Check(name, "ok", found)


def temporary_files(folder: str | None = None) -> Check:
    """Whether the folder for temporary files has room, and a path short enough for Ray's sockets."""
    name, place = "temporary files", folder or tempfile.gettempdir()
    free = shutil.disk_usage(place).free
    found = f"{place}: {free / GIB:.1f} GiB free"
    if len(place) + RAY_BELOW > SOCKET_PATH:
        fix = "export TMPDIR=/tmp, or another short path"
        return Check(name, "error", f"{place} is too long a path for Ray's sockets", fix)
    if free < TEMPORARY_WANTED:
        return Check(name, "warning", found, f"rm -r {place}/ray where no Ray runs, or export TMPDIR=DIR")
    return Check(name, "ok", found)


def shared_memory(folder: Path = Path("/dev/shm")) -> Check:
    """Ray keeps its objects in shared memory; containers often have 64 MiB of it."""
    if not folder.is_dir():
        return Check("shared memory", "ok", f"no {folder}: Ray uses files")
    free = shutil.disk_usage(folder).free
    found = f"{folder}: {free / GIB:.1f} GiB free"
    if free < SHARED_WANTED:
        fix = "docker run --shm-size=8g, or mount -o remount,size=8G /dev/shm"
        return Check("shared memory", "warning", f"{found}; Ray falls back to slow files", fix)
    return Check("shared memory", "ok", found)


def open_files() -> Check:
    """Ray and the data loaders keep many files open."""
    return _limit("open files", resource.RLIMIT_NOFILE, FILES_WANTED, "ulimit -n", 65536)


def processes() -> Check:
    """Ray starts a process for each worker, with many threads, which count too."""
    return _limit("processes", resource.RLIMIT_NPROC, PROCESSES_WANTED, "ulimit -u", 65536)


def file_sizes() -> Check:
    """A checkpoint is one file of gigabytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft == resource.RLIM_INFINITY:
        return Check("file sizes", "ok", "no limit")
    found = f"limit {soft / GIB:.3g} GiB: larger checkpoints fail"
    free = hard == resource.RLIM_INFINITY
    fix = "ulimit -f unlimited" if free else "raise the hard limit (fsize) in /etc/security/limits.conf"
    return Check("file sizes", "warning", found, fix)


def memory(group: Path = GROUP) -> Check:
    """Free memory of the machine, or of the container if that is less."""
    here = usable_memory(group)
    where = " (the container's limit)" if here.container else ""
    found = f"{here.free / GIB:.1f} GiB free{where}, {os.cpu_count()} logical CPUs"
    if here.free < MEMORY_WANTED:
        fix = "close other programs, or raise the container's limit: an RL stage on CPU needs about 4 GiB"
        return Check("memory", "warning", found, fix)
    return Check("memory", "ok", found)


def _limit(name: str, kind: int, wanted: int, command: str, better: int) -> Check:
    soft, hard = resource.getrlimit(kind)
    if soft == resource.RLIM_INFINITY:
        return Check(name, "ok", "no limit")
    if soft >= wanted:
        return Check(name, "ok", f"limit {soft}")
    reachable = hard == resource.RLIM_INFINITY or hard >= wanted
    value = better if hard == resource.RLIM_INFINITY else min(hard, better)
    fix = (
        f"{command} {value}" if reachable else f"raise the hard limit of {hard} in /etc/security/limits.conf"
    )
    return Check(name, "warning", f"limit {soft}; {wanted} are wanted", fix)


def _torch_cuda() -> str | None:
    """The CUDA version that torch was built for; None for a CPU build, or where torch does not import."""
    try:
        import torch
    except (ImportError, OSError):  # the check of torch tells it
        return None
    version = torch.version.cuda
    return str(version) if version else None


def _torch_sees_gpus() -> bool:
    try:
        import torch
    except (ImportError, OSError):  # the check of torch tells it
        return False
    return bool(torch.cuda.is_available())
