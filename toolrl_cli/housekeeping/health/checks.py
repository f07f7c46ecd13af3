"""Checks of this machine: what is there, what is wrong, and the command that mends it."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from toolrl_cli.housekeeping.health import host as machine
from toolrl_cli.housekeeping.health import services
from toolrl_cli.housekeeping.health.check import Check, Standing

VERL = "0.9.1"


def run_checks(results: Path) -> list[Check]:
    """All checks; imports torch, because only torch knows whether it can use a GPU."""
    checks: list[Callable[[], Check]] = [
        _python,
        lambda: _package("verl", f"=={VERL}", f"pip install verl=={VERL}"),
        _torch,
        lambda: _package("transformers", ">=5.5.3,<5.11,!=5.6.0", "pip install 'transformers>=5.5.3,<5.11'"),
        lambda: _package("TransferQueue", ">=0.1.10", "pip install 'TransferQueue>=0.1.10'"),
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
        fix = "pip install --force-reinstall --no-deps toolrl-cli"
        return Check("verl plugin", "error", f"{points['toolrl']} is missing", fix)
    return Check("verl plugin", "ok", points["toolrl"])


def _ray() -> Check:
    check = _package("ray", ">=2.50,<3", "pip install 'ray[default]>=2.50,<3'")
    address = os.environ.get("RAY_ADDRESS")
    if check.standing != "ok" or not address:
        return replace(check, name="Ray")
    return Check(
        "Ray", "ok", f"{check.found}; RAY_ADDRESS={address} is not used: each attempt starts its own"
    )


def _vllm() -> Check:
    """vLLM generates on GPUs; verl names the one release that it works with."""
    fix = f"pip install 'verl[vllm]=={VERL}'"
    try:
        found = metadata.version("vllm")
    except metadata.PackageNotFoundError:
        if machine.gpus_seen():
            return Check(
                "vLLM", "warning", "not installed: GPUs would generate with Transformers, slowly", fix
            )
        return Check("vLLM", "ok", "not installed: rollouts use the Transformers server")
    wanted = _wanted_by_verl("vllm")
    if wanted is not None and not wanted.contains(Version(found), prereleases=True):
        return Check("vLLM", "warning", f"{found}; verl {VERL} was made for {wanted}", fix)
    return Check("vLLM", "ok", found)


def _wanted_by_verl(name: str) -> SpecifierSet | None:
    """The versions of an optional package that the installed verl asks for."""
    try:
        lines = metadata.requires("verl") or []
    except metadata.PackageNotFoundError:
        return None
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.name == name and str(requirement.specifier):
            return requirement.specifier
    return None


def worst(checks: list[Check]) -> Standing:
    """The gravest standing."""
    found: Iterator[Standing] = (c.standing for c in checks)
    return max(found, key=["ok", "warning", "error"].index, default="ok")
