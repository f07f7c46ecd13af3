"""bfcl-eval, imported without the clients of services that its checkers never call.

`PROJECT_ROOT` must be in the environment before this module is imported: bfcl-eval makes folders there.
"""

from __future__ import annotations

import builtins
import importlib
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


def _stand_ins() -> None:
    for name in NEVER_CALLED:
        sys.modules[name] = types.ModuleType(name)
    vars(sys.modules["tqdm"])["tqdm"] = lambda rows, **_: rows
    vars(sys.modules["dotenv"])["load_dotenv"] = lambda **_: False
    vars(sys.modules["bfcl_eval.constants.model_config"])["MODEL_CONFIG_MAPPING"] = MODELS


MODELS: dict[str, Any] = {}
"""Upstream's registry of models: name → what its checker asks of one."""

_stand_ins()

from bfcl_eval._llm_response_generation import process_multi_turn_test_case  # noqa: E402
from bfcl_eval.constants.category_mapping import TEST_COLLECTION_MAPPING, VERSION_PREFIX  # noqa: E402
from bfcl_eval.constants.eval_config import POSSIBLE_ANSWER_PATH, PROMPT_PATH  # noqa: E402
from bfcl_eval.eval_checker import eval_runner as eval_runner  # noqa: E402
from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils  # noqa: E402
from bfcl_eval.utils import load_file, sort_key  # noqa: E402

CATEGORIES: tuple[str, ...] = tuple(TEST_COLLECTION_MAPPING["all"])


def register(name: str, handler: Any, *, underscore_to_dot: bool) -> None:
    """Make a handler's answers known to the checker under a name without `_` and `/`."""
    MODELS[name] = types.SimpleNamespace(model_handler=handler, underscore_to_dot=underscore_to_dot)


def entries(category: str) -> list[tuple[str, dict[str, Any], Any]]:
    """A category's items in upstream's order: (id, entry, gold answer or None).

    An id that stands twice (live_relevance_3-3-0 is two questions) gets `#2` the second time.
    """
    rows = load_file(PROMPT_PATH / f"{VERSION_PREFIX}_{category}.json", sort_by_id=True)
    answers = POSSIBLE_ANSWER_PATH / f"{VERSION_PREFIX}_{category}.json"
    gold = {row["id"]: row["ground_truth"] for row in load_file(answers)} if answers.is_file() else {}
    seen: dict[str, int] = {}
    found = []
    for row in sorted(rows, key=sort_key):
        seen[row["id"]] = count = seen.get(row["id"], 0) + 1
        found.append((row["id"] + (f"#{count}" if count > 1 else ""), row, gold.get(row["id"])))
    return found


def with_tools(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with the documents of its tools, which multi-turn entries only name."""
    return dict(process_multi_turn_test_case([entry])[0])


def may_execute() -> Any:
    """Whether a name may stand in source that the simulators execute (`reading.executable_names`)."""
    tools: set[str] = set()
    for name, module in multi_turn_utils.CLASS_FILE_PATH_MAPPING.items():
        simulator = getattr(importlib.import_module(module), name)
        tools |= {method for method in dir(simulator) if not method.startswith("_")}
    execute = multi_turn_utils.execute_multi_turn_func_call
    code = execute.__code__
    reachable = {
        *dir(builtins),
        *vars(multi_turn_utils),
        *code.co_varnames,
        *code.co_cellvars,
        *code.co_freevars,
    }
    for module in LAZY:
        importlib.import_module(module)
    return executable_names(tools, reachable)


def forget_instances() -> None:
    """Drop the simulators of all items so far: upstream keeps them for ever, under the item's id."""
    for name in [name for name in vars(multi_turn_utils) if name.endswith("_instance")]:
        del vars(multi_turn_utils)[name]


@contextmanager
def captured() -> Iterator[list[Mapping[str, Any]]]:
    """What upstream's runners would write into score files."""
    rows: list[Mapping[str, Any]] = []

    def keep(_: str, data: list[Mapping[str, Any]], __: object = None) -> None:
        rows.extend(data)

    written = eval_runner.write_list_of_dicts_to_file
    eval_runner.write_list_of_dicts_to_file = keep
    said, sys.stdout = sys.stdout, io.StringIO()
    try:
        yield rows
    finally:
        eval_runner.write_list_of_dicts_to_file, sys.stdout = written, said
