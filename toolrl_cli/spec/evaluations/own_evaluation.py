"""An evaluation of the user's own: `evaluate: [./my_eval.py]` or `{command: [...]}`."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.rewards.user_code.sources import names_in, parsed
from toolrl_cli.spec.evaluations.command_files import absolute, check_can_start, files_of, not_here, sources
from toolrl_cli.spec.evaluations.command_words import MODEL, check_words
from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.run.evaluation_settings import OwnEvaluation
from toolrl_cli.spec.run.model_settings import EndpointModel
from toolrl_cli.spec.run.run_spec import RunSpec

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
EXAMPLE = 'for example {command: [python, score.py, "{model}"]}'
OBJECT = "BENCHMARK"
FUNCTIONS = ("items", "judge")


def is_own(entry: object) -> bool:
    """Whether an entry of `evaluate` is an evaluation of the user's own."""
    if isinstance(entry, Mapping):
        return "command" in entry or "path" in entry
    return isinstance(entry, str) and entry.endswith(".py")


def takes_folder(own: OwnEvaluation) -> bool:
    """Whether an evaluation is given a model's folder, and not an endpoint."""
    return any(MODEL in word for word in own.command)


def folder_fault(run: RunSpec) -> str:
    """Which evaluation of a run wants the folder of a model that has none here; empty for none."""
    if not isinstance(run.model, EndpointModel):
        return ""
    own = (entry for entry in run.evaluate if isinstance(entry, OwnEvaluation))
    return next((entry.name for entry in own if takes_folder(entry)), "")


def doubts(own: Mapping[str, Any]) -> list[str]:
    """What a person should know of an evaluation that can be used."""
    program = own["command"][0] if own.get("command") else ""
    if program and "/" not in program and shutil.which(program) is None:
        return [f"evaluate: {own['name']} runs {program}, which is not found on this machine's PATH"]
    if program and (missing := not_here(own["command"], Path(own["folder"]))):
        return [f"evaluate: {own['name']} runs {missing}, which is not on this machine"]
    if program and own["sha256"] == digest([], 64):
        return [f"evaluate: {own['name']} names no file, so an edit of what it runs is not noticed"]
    return []


def own_evaluation(entry: Any, folder: Path, where: str) -> dict[str, Any]:
    """An entry of `evaluate` as `OwnEvaluation` has it, looked at without running anything.

    Args:
        entry: a path to a Python file, or `{command: [...], name: ...}`.
        folder: where relative paths begin.
        where: its place, for messages.

    Raises:
        SpecError: it cannot be used.
    """
    if isinstance(entry, Mapping) and "sha256" in entry:
        return dict(entry)
    found = _command(entry, folder, where) if isinstance(entry, Mapping) else _file(entry, folder, where)
    if not NAME.fullmatch(found["name"]):
        hint = "a letter, then letters, digits, '_' and '-'; 60 at most"
        hint = f"{'rename the file' if found.get('path') else 'write name: …'}: {hint}"
        raise SpecError(f"{found['name']!r} cannot name an evaluation", where, hint)
    return found


def _file(entry: str, folder: Path, where: str) -> dict[str, Any]:
    path = absolute(entry, folder)
    code = sources(path, where).sha256
    tree = parsed(path, path.read_bytes(), where)
    last = {n.name: n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
    defined = names_in(tree) - {n for n, node in last.items() if isinstance(node, ast.AsyncFunctionDef)}
    lacks = [] if {"*", OBJECT} & defined else [name for name in FUNCTIONS if name not in defined]
    if lacks and not any(
        "Benchmark" in ast.unparse(n) for n in tree.body if isinstance(n, (ast.ClassDef, ast.ImportFrom))
    ):
        told = " and ".join(f"{name}({'item, output' if name == 'judge' else ''})" for name in lacks)
        raise SpecError(f"{path} defines no {told}", where, "see docs/evaluations.md")
    return {"name": path.stem, "path": str(path), "sha256": code}


def _command(entry: Mapping[str, Any], folder: Path, where: str) -> dict[str, Any]:
    for key in entry:
        if key not in ("command", "name"):
            raise SpecError(f"unknown key {key!r} of an own evaluation", where, EXAMPLE)
    command, name = entry.get("command"), entry.get("name")
    if (
        not isinstance(command, (list, tuple))
        or not command
        or not all(isinstance(c, str) and c for c in command)
    ):
        raise SpecError("command: a list of words is expected", where, EXAMPLE)
    if name is not None and not isinstance(name, str):
        raise SpecError(f"name: {name!r} is no name", where, EXAMPLE)
    check_words(command, where)
    check_can_start(command, folder, where)
    digests = [mark for _, mark in files_of(command, folder, where)]
    words = (absolute(word, folder) for word in command)
    named = next((path for path in words if path.suffix and path.is_file()), Path(command[0]))
    return {
        "name": name or re.sub(r"[^A-Za-z0-9_-]", "_", named.stem),
        "command": list(command),
        "folder": str(folder.resolve()),
        "sha256": digest(digests, 64),
    }
