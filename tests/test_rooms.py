"""Imports point one way, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import toolrl_cli

ROOT = Path(toolrl_cli.__file__).parent
# From the ground up: a room imports only rooms that stand before it.
ORDER = (
    *(
        "log",
        "wording",
        "registry",
        "yaml12",
        "rewards",
        "errors",
        "processes",
        "spec",
        "store",
        "datasets",
        "training",
        "tracking",
        "attempt",
    ),
    *("benchmarks", "report", "harness", "planning", "housekeeping", "api", "commands"),
)
MODULES = {"log", "wording", "registry", "yaml12", "errors"}  # each a single module, and no room
# Rooms that stand at the same height and know nothing of each other.
STRANGERS = ({"processes", "spec"}, {"benchmarks", "report"}, {"tracking", "attempt"})
MOST_MODULES = 15
HEAVY = ("torch", "verl", "ray", "transformers", "pandas", "pyarrow", "scipy", "numpy", "matplotlib", "wandb")


def imported_rooms(path: Path) -> set[str]:
    """Rooms of toolrl that a module imports, anywhere in it."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = [node.module]
            if node.module == "toolrl_cli":
                names = [f"toolrl_cli.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "toolrl_cli" and len(parts) > 1:
                rooms.add(parts[1])
    return rooms


def test_every_room_is_in_the_rule() -> None:
    rooms = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    assert rooms == set(ORDER) - MODULES


@pytest.mark.parametrize("room", sorted(set(ORDER) - MODULES))
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    allowed = {*ORDER[: ORDER.index(room)], room, "__version__"}
    for group in STRANGERS:
        allowed -= group - {room} if room in group else set()
    for path in sorted((ROOT / room).rglob("*.py")):
        assert imported_rooms(path) <= allowed, path.relative_to(ROOT)


def test_a_folder_is_small_enough_to_be_known() -> None:
    counts = {p.parent: len(list(p.parent.glob("*.py"))) - 1 for p in ROOT.rglob("__init__.py")}
    assert {str(p.relative_to(ROOT)): n for p, n in counts.items() if n > MOST_MODULES} == {}


def test_only_training_knows_verl() -> None:
    for path in sorted(ROOT.rglob("*.py")):
        room = path.relative_to(ROOT).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "verl" for name in names):
                assert room == "training", path


@pytest.mark.parametrize(
    "module",
    ["toolrl_cli.app", "toolrl_cli.rewards", "toolrl_cli.spec.sweeps.resolve", "toolrl_cli.attempt.execution",
     "toolrl_cli.planning.plan", "toolrl_cli.planning.fingerprints", "toolrl_cli.report", "toolrl_cli.api.running",
     "toolrl_cli.tracking.publisher"],
)  # fmt: skip
def test_a_light_module_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
