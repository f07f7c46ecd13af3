"""Components that users write: a Python function in a file, or one that can be imported.

The function declares its inputs by the names of its parameters, any of:

- `completion`, `ground_truth`: the texts;
- `step`, `total_steps`: verl's global step and the run's length (None where it is not known);
- `tokens`: length of the response as it was generated (None where only its text is known, as in `toolrl rescore`);
- `calls`: the predicted calls as parsed JSON, None where they cannot be read;
- `gold_calls`: the ground truth's calls.

The files beside it, and packages there, can be imported by their names (`import helper`), and are part of the
component's identity; see `user_code.sources` for which are found.

It returns a finite number inside the declared range. Anything else, an exception included, stops the run.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from toolrl_cli.rewards.components import Component, Range
from toolrl_cli.rewards.errors import RewardError, nearest, shown
from toolrl_cli.rewards.reading import Reading, read_calls
from toolrl_cli.rewards.user_code.loading import load
from toolrl_cli.rewards.user_code.sources import parsed, sources_of

INPUTS = ("completion", "ground_truth", "step", "total_steps", "tokens", "calls", "gold_calls")
TOLERANCE = 1e-9  # tolerance for a sum that leaves its range by rounding


@dataclass(frozen=True)
class PythonComponent(Component):
    """A user's function as a component.

    Two components are equal if function name, SHA-256 of the source and scale are equal; the path does not count.

    Attributes:
        function: name of the function at the top level of its source.
        sha256: of the source file and of those that it imports from beside it (`user_code.sources`).
        path: the file, absolute; empty for an importable one.
        module: dotted name of the module; empty for a file.
    """

    range: Range | None = None
    function: str = ""
    sha256: str = ""
    path: str = field(default="", compare=False)
    module: str = field(default="", compare=False)

    kind: ClassVar[str] = "python"

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        function, inputs = _load(self.path, self.module, self.function, self.sha256)
        given = {name: _input(reading, name) for name in inputs}
        try:
            value = function(**given)
        except Exception as fault:  # whatever a user's function raises stops the run
            raise self._fault(reading, f"raised {type(fault).__name__}: {fault}") from fault
        if not isinstance(value, numbers.Real):
            raise self._fault(reading, f"returned {shown(value)}, which is no number")
        number = float(value)
        if not math.isfinite(number):
            raise self._fault(reading, f"returned {number}")
        if not low - TOLERANCE <= number <= high + TOLERANCE:
            raise self._fault(reading, f"returned {number:g}, outside its range [{low:g}, {high:g}]")
        return number

    def _fault(self, reading: Reading, what: str) -> RewardError:
        return RewardError(
            f"{self.function} {what}",
            f"components.{self.name}",
            f"correct {self.path or self.module}; the completion is kept for `toolrl reward explain`",
            completion=reading.completion,
            ground_truth=reading.truth.text,
            step=reading.step,
        )

    def to_dict(self) -> dict[str, Any]:
        source = {"path": self.path} if self.path else {"module": self.module}
        return {**super().to_dict(), "function": self.function, "sha256": self.sha256, **source}


def _input(reading: Reading, name: str) -> Any:
    if name == "ground_truth":
        return reading.truth.text
    # parsed again for each score, because a user's function may change its arguments
    if name == "gold_calls":
        return read_calls(reading.truth.block) if reading.truth.wants_call else []
    if name == "calls":
        return reading.fresh_calls()
    return getattr(reading, name)


def source_of_module(module: str, where: str) -> Path:
    """Source file of an importable module.

    Raises:
        RewardError: it cannot be found, or has no Python source.
    """
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError) as fault:
        raise RewardError(f"{module!r} cannot be imported: {fault}", where, "check the name") from fault
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise RewardError(f"{module!r} is no importable module", where, "check the name and PYTHONPATH")
    return Path(spec.origin)


def check_defined(path: Path, code: bytes, function: str, where: str) -> None:
    """Check, without running a file, that its code defines `function`, so that a misspelt name is found when planning.

    Raises:
        RewardError: the file is not valid Python, or does not define the name.
    """
    import ast  # only a reward with a user component needs it

    tree = parsed(path, code, where)
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name for alias in node.names)
    if function not in names:
        hint = nearest(function, names) if names else "the file defines nothing"
        raise RewardError(f"{path} defines no {function!r}", where, hint)


@lru_cache(maxsize=64)
def _load(path: str, module: str, function: str, sha256: str) -> tuple[Callable[..., Any], tuple[str, ...]]:
    """The function, and the names of its parameters."""
    where = path or module
    source = Path(path) if path else source_of_module(module, where)
    sources = sources_of(source, where, module)
    if sources.sha256 != sha256:
        raise changed(source, where)
    try:
        if path and source.suffix != ".py":
            raise ImportError("not a .py file")
        loaded = load(sources) if path else importlib.import_module(module)
        found = getattr(loaded, function)
    except Exception as fault:  # importing runs the user's code, which may raise anything
        raise RewardError(f"cannot be imported: {type(fault).__name__}: {fault}", where) from fault
    return found, _inputs_of(found, where)


def changed(source: Path, where: str) -> RewardError:
    """What to say of a file that is no longer as it was when its reward was resolved."""
    return RewardError(
        f"{source}, or a file that it imports, has changed since the reward was resolved",
        where,
        "issue the command again to run with the files as they are now",
    )


def _inputs_of(function: Callable[..., Any], where: str) -> tuple[str, ...]:
    if not callable(function):
        raise RewardError(f"{shown(function)} is no function", where)
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError as fault:  # built-in functions may have no signature
        raise RewardError(f"{shown(function)} does not say what its inputs are", where) from fault
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return INPUTS
    for p in parameters:
        if p.name not in INPUTS and p.default is p.empty and p.kind is not p.VAR_POSITIONAL:
            raise RewardError(
                f"the parameter {p.name!r} is no input of a component", where, f"inputs: {', '.join(INPUTS)}"
            )
    return tuple(p.name for p in parameters if p.name in INPUTS)
