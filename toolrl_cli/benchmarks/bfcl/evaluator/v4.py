"""What is particular to bfcl-eval 2026.3.23 (BFCL V4), its agentic categories aside. Only `upstream` imports this.

The agentic categories need a search service and embedding models; `format_sensitivity` is of upstream's own prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bfcl_eval import utils
from bfcl_eval.constants.category_mapping import MULTI_TURN_CATEGORY, SINGLE_TURN_CATEGORY
from bfcl_eval.constants.enums import ModelStyle
from bfcl_eval.constants.executable_backend_config import CLASS_FILE_PATH_MAPPING, OMIT_STATE_INFO_CLASSES
from bfcl_eval.eval_checker import eval_runner

CATEGORIES: tuple[str, ...] = (*SINGLE_TURN_CATEGORY, *MULTI_TURN_CATEGORY)
SIMULATORS: Mapping[str, str] = {
    name: module for name, module in CLASS_FILE_PATH_MAPPING.items() if name not in OMIT_STATE_INFO_CLASSES
}
OPENAI = ModelStyle.OPENAI_COMPLETIONS
HANDLER_ARGUMENTS: Mapping[str, Any] = {"registry_name": "toolrl", "is_fc_model": False}


def rows(category: str) -> list[tuple[dict[str, Any], Any]]:
    """A category's entries in upstream's order, each with its gold answer or None."""
    entries = utils.load_dataset_entry(category, include_prereq=False, include_language_specific_hint=False)
    if "relevance" in category:
        return [(entry, None) for entry in entries]
    # of one order with the entries; some ids are spelt otherwise
    gold = utils.load_ground_truth_entry(category)
    return [(entry, row["ground_truth"]) for entry, row in zip(entries, gold, strict=True)]


def with_tools(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry, which has the documents of its tools."""
    return entry


def hinted(functions: list[dict[str, Any]], category: str) -> list[dict[str, Any]]:
    """Documents as models see them, with hints at their language; changed in place."""
    return list(utils._func_doc_language_specific_pre_processing(functions, category))


def judge(category: str, rows: tuple[list[Any], list[Any], list[Any]], handler: Any, model: str) -> None:
    """Let upstream judge answers to entries with gold answers; `captured` has what it says."""
    answers, entries, gold = rows
    if "relevance" in category:
        eval_runner.relevance_file_runner(handler, answers, entries, model, category, Path())
    elif "multi_turn" in category:
        eval_runner.multi_turn_runner(handler, answers, entries, gold, model, category, Path())
    else:
        eval_runner.ast_file_runner(handler, answers, entries, gold, category, model, Path())


@contextmanager
def captured() -> Iterator[list[Mapping[str, Any]]]:
    """What upstream's runners would write into score files: the counts, then one for each wrong answer."""
    written: list[Mapping[str, Any]] = []

    def keep(result: list[Any], correct: int, answers: list[Any], *_: object) -> tuple[float, int]:
        written.extend([{"correct_count": correct}, *result])
        return 0.0, len(answers)

    theirs = eval_runner.save_eval_results
    eval_runner.save_eval_results = keep
    try:
        yield written
    finally:
        eval_runner.save_eval_results = theirs
