"""Checks of this machine: what is there, what is wrong, and the command that mends it."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from toolrl_cli.housekeeping.health import host as machine
from toolrl_cli.housekeeping.health import services
from toolrl_cli.housekeeping.health.check import Check, Standing
from toolrl_cli.housekeeping.health.requirements import declared, pip_install, requirement
from toolrl_cli.wording import first_line


def run_checks(results: Path) -> list[Check]:
    """All checks; imports torch, because only torch knows whether it can use a GPU."""
    checks: list[Callable[[], Check]] = [
        _python,
        lambda: _package("verl"),
        _torch,
        lambda: _package("transformers"),
        lambda: _package("TransferQueue"),
        _ray,
        _plugin,
        machine.cuda,
        machine.gpus,
        _vllm,
        services.slurm,
        services.wandb,
        lambda: machine.results_root(results),
        machine.temporary_files,
        machine.shared_memory,
        machine.open_files,
        machine.processes,
        machine.file_sizes,
        machine.memory,
        lambda: services.data(results),
    ]
    return [check() for check in checks]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 10) <= sys.version_info[:2] <= (3, 12)
    return Check(
        "Python",
        "ok" if good else "error",
        version,
        "" if good else "python3.11 -m venv .venv && . .venv/bin/activate && pip install toolrl-cli",
    )


def _package(name: str) -> Check:
    """Whether a package has a version that `pyproject.toml` declares."""
    wanted = declared(name)
    fix = pip_install(wanted)
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, "error", "not installed", fix)
    if wanted.specifier.contains(Version(found), prereleases=True):
        return Check(name, "ok", found)
    return Check(name, "error", f"{found}; wanted {wanted.specifier}", fix)


def _torch() -> Check:
    check = _package("torch")
    if check.standing != "ok":
        return check
    try:
        import torch
    except (ImportError, OSError) as error:  # a broken CUDA library shows only here
        fix = pip_install(declared("torch"), "--force-reinstall")
        return Check("torch", "error", f"does not import: {first_line(error)}", fix)
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
        fix = "pip install --force-reinstall --no-deps toolrl-cli"
        return Check("verl plugin", "error", f"{points['toolrl']} is missing", fix)
    return Check("verl plugin", "ok", points["toolrl"])


def _ray() -> Check:
    check = _package("ray")
    address = os.environ.get("RAY_ADDRESS")
    if check.standing != "ok" or not address:
        return replace(check, name="Ray")
    return Check(
        "Ray", "ok", f"{check.found}; RAY_ADDRESS={address} is not used: each attempt starts its own"
    )


def _vllm() -> Check:
    """vLLM generates on GPUs; verl names the one release that it works with."""
    fix = pip_install(Requirement(f"verl[vllm]{declared('verl').specifier}"))
    try:
        found = metadata.version("vllm")
    except metadata.PackageNotFoundError:
        if machine.gpus_seen():
            return Check(
                "vLLM", "warning", "not installed: GPUs would generate with Transformers, slowly", fix
            )
        return Check("vLLM", "ok", "not installed: rollouts use the Transformers server")
    wanted = requirement("verl", "vllm")
    if wanted is not None and not wanted.specifier.contains(Version(found), prereleases=True):
        verl = metadata.version("verl")
        return Check("vLLM", "warning", f"{found}; verl {verl} was made for {wanted.specifier}", fix)
    return Check("vLLM", "ok", found)


def worst(checks: list[Check]) -> Standing:
    """The gravest standing."""
    found: Iterator[Standing] = (c.standing for c in checks)
    return max(found, key=["ok", "warning", "error"].index, default="ok")
