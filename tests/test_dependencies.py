"""`pyproject.toml` declares what the package imports and no more, and it is the only place that states a range."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import toolrl_cli
from toolrl_cli.housekeeping.health.checks import _package

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(toolrl_cli.__file__).parent
PYPROJECT = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))
NAMED_OTHERWISE = {
    "yaml": "pyyaml",
    "hydra": "hydra-core",
    "transfer_queue": "transferqueue",
    "xdist": "pytest-xdist",
}
"""Import name → normal name of its distribution, where that is not the same word."""
NOT_IMPORTED = {
    "cachetools": "verl.workers.rollout.router imports it, and verl declares it in an extra only",
}
"""Distribution → why it is declared although nothing here imports it."""
ELSEWHERE = ("benchmarks/bfcl/evaluator",)
"""Folders whose modules run in an environment of their own, with bfcl-eval in it."""
PROGRAMS = ("ruff", "mypy", "pytest-cov")
"""What the group `dev` has besides modules that tests import, and stubs for mypy: programs and a plugin of pytest."""


def imported(folder: str) -> set[str]:
    """Normal names of the distributions that the modules below a folder import."""
    names: set[str] = set()
    for path in (ROOT.parent / folder).rglob("*.py"):
        if any(path.is_relative_to(ROOT / place) for place in ELSEWHERE):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    names -= sys.stdlib_module_names | {"toolrl_cli", "tests", "tomli"}
    return {NAMED_OTHERWISE.get(name) or canonicalize_name(name) for name in names}


def declared(lines: Iterable[str]) -> set[str]:
    """Normal names of the distributions that requirements ask for."""
    return {canonicalize_name(Requirement(line).name) for line in lines}


NEEDED = declared(PYPROJECT["project"]["dependencies"])
EXTRA = declared(line for lines in PYPROJECT["project"]["optional-dependencies"].values() for line in lines)
DEV = declared(PYPROJECT["dependency-groups"]["dev"])


def test_what_the_package_imports_is_declared() -> None:
    assert imported("toolrl_cli") - NEEDED - EXTRA == set()


def test_what_the_tests_import_is_declared() -> None:
    assert imported("tests") - NEEDED - DEV == set()


def test_what_is_declared_is_imported_or_has_a_reason() -> None:
    assert (NEEDED | EXTRA) - imported("toolrl_cli") == set(NOT_IMPORTED)


def test_what_is_declared_for_development_is_imported_by_a_test_or_has_a_reason() -> None:
    stubs = {name for name in DEV if name.startswith("types-") or name.endswith("-stubs")}
    assert DEV - stubs - imported("tests") == set(PROGRAMS)


def test_doctor_states_no_range_of_its_own() -> None:
    found = []
    for path in sorted(ROOT.glob("*/health/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found += re.findall(r"[<>=!~]=?\s*\d+\.\d+", node.value)
    assert found == []


@pytest.mark.parametrize("name", ["verl", "torch", "transformers", "TransferQueue", "ray"])
def test_doctor_wants_the_versions_that_pyproject_declares(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.1")
    (wanted,) = (r for r in map(Requirement, PYPROJECT["project"]["dependencies"]) if r.name == name)
    check = _package(name)
    assert check.standing == "error"
    assert SpecifierSet(check.found.removeprefix("0.0.1; wanted ")) == wanted.specifier
    assert Requirement(shlex.split(check.fix)[-1]) == wanted
