"""What is in the wheel: everything that a command reads at run time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import toolrl_cli
from toolrl_cli.api.starting import PACKAGE, SOURCES
from toolrl_cli.spec.sweeps.reading.shipped import shipped_sweeps

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(toolrl_cli.__file__).parent
PROJECT = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_file_of_the_package_that_is_no_module_is_in_the_wheel() -> None:
    globs = PROJECT["tool"]["setuptools"]["package-data"]["toolrl_cli"]
    taken = {path for pattern in globs for path in ROOT.glob(pattern)}
    files = {path for folder in (ROOT, ROOT / "sweeps") for path in folder.rglob("*") if path.is_file()}
    left_out = {path for path in files - taken if path.suffix not in (".py", ".pyc")}
    assert not left_out
    assert set(shipped_sweeps().values()) <= taken
    assert all((PACKAGE / source).is_file() for source in SOURCES.values())


def test_the_gpu_extra_that_the_readme_names_is_there() -> None:
    assert "vllm" in PROJECT["project"]["optional-dependencies"]["gpu"][0]
    assert "'.[gpu]'" in (ROOT.parent / "README.md").read_text(encoding="utf-8")
