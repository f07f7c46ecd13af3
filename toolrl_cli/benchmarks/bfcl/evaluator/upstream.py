"""bfcl-eval, imported without the clients of services that its checkers never call.

`BFCL_PROJECT_ROOT` must be in the environment before this module is imported: bfcl-eval makes folders there.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import io
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from toolrl_cli.benchmarks.bfcl.evaluator.reading import executable_names

NEVER_CALLED = ("numpy", "pandas", "tqdm", "dotenv", "bfcl_eval.constants.model_config")
"""Modules that upstream's evaluation imports and scoring does not use; the last imports every service's client."""
LAZY = ("_strptime", "traceback", "linecache")
"""Modules that are imported in the middle of a call."""

MODELS: dict[str, Any] = {}
"""Upstream's registry of models: name → what its checker asks of one."""


def _stand_ins() -> None:
    for name in NEVER_CALLED:
        sys.modules[name] = types.ModuleType(name)
    vars(sys.modules["tqdm"])["tqdm"] = lambda rows, **_: rows
    vars(sys.modules["dotenv"])["load_dotenv"] = lambda **_: False
    vars(sys.modules["bfcl_eval.constants.model_config"])["MODEL_CONFIG_MAPPING"] = MODELS


_stand_ins()
_own = "v4" if importlib.util.find_spec("bfcl_eval.constants.enums") else "v3"
release: Any = importlib.import_module(f"toolrl_cli.benchmarks.bfcl.evaluator.{_own}")
"""The module with what is particular to the installed release."""
_simulation: Any = importlib.import_module("bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils")

CATEGORIES: tuple[str, ...] = release.CATEGORIES


def register(name: str, handler: Any, *, underscore_to_dot: bool) -> None:
    """Make a handler's answers known to the checker under a name without `_` and `/`."""
    MODELS[name] = types.SimpleNamespace(model_handler=handler, underscore_to_dot=underscore_to_dot)


def entries(category: str) -> list[tuple[str, dict[str, Any], Any]]:
    """A category's items in upstream's order: (id, entry, gold answer or None).

    An id that stands twice (V3's live_relevance_3-3-0 is two questions) gets `#2` the second time.
    """
    seen: dict[str, int] = {}
    found = []
    for entry, gold in release.rows(category):
        seen[entry["id"]] = count = seen.get(entry["id"], 0) + 1
        found.append((entry["id"] + (f"#{count}" if count > 1 else ""), entry, gold))
    return found


def may_execute() -> Any:
    """Whether a name may stand in source that the simulators execute (`reading.executable_names`)."""
    tools: set[str] = set()
    for name, module in release.SIMULATORS.items():
        simulator = getattr(importlib.import_module(module), name)
        tools |= {method for method in dir(simulator) if not method.startswith("_")}
    code = _simulation.execute_multi_turn_func_call.__code__
    reachable = {*dir(builtins), *vars(_simulation), *code.co_varnames, *code.co_cellvars, *code.co_freevars}
    for module in LAZY:
        importlib.import_module(module)
    return executable_names(tools, reachable)


def forget_instances() -> None:
    """Drop the simulators of all items so far: upstream keeps them for ever, under the item's id."""
    for name in [name for name in vars(_simulation) if name.endswith("_instance")]:
        del vars(_simulation)[name]


@contextmanager
def captured() -> Iterator[list[Mapping[str, Any]]]:
    """What upstream's runners would write into score files, and nothing of what they print."""
    said, sys.stdout = sys.stdout, io.StringIO()
    try:
        with release.captured() as written:
            yield written
    finally:
        sys.stdout = said
