"""What is particular to bfcl-eval 2025.6.8 (BFCL V3). Only `upstream` imports this module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bfcl_eval._llm_response_generation import process_multi_turn_test_case
from bfcl_eval.constants.category_mapping import TEST_COLLECTION_MAPPING, VERSION_PREFIX
from bfcl_eval.constants.eval_config import POSSIBLE_ANSWER_PATH, PROMPT_PATH
from bfcl_eval.eval_checker import eval_runner
from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils import CLASS_FILE_PATH_MAPPING
from bfcl_eval.model_handler.model_style import ModelStyle
from bfcl_eval.model_handler.utils import func_doc_language_specific_pre_processing
from bfcl_eval.utils import load_file

CATEGORIES: tuple[str, ...] = tuple(TEST_COLLECTION_MAPPING["all"])
SIMULATORS: Mapping[str, str] = CLASS_FILE_PATH_MAPPING
OPENAI = ModelStyle.OpenAI
HANDLER_ARGUMENTS: Mapping[str, Any] = {}


def rows(category: str) -> list[tuple[dict[str, Any], Any]]:
    """A category's entries in upstream's order, each with its gold answer or None."""
    entries = load_file(PROMPT_PATH / f"{VERSION_PREFIX}_{category}.json", sort_by_id=True)
    answers = POSSIBLE_ANSWER_PATH / f"{VERSION_PREFIX}_{category}.json"
    gold = {row["id"]: row["ground_truth"] for row in load_file(answers)} if answers.is_file() else {}
    return [(entry, gold.get(entry["id"])) for entry in entries]


def with_tools(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with the documents of its tools, which multi-turn entries only name."""
    return dict(process_multi_turn_test_case([entry])[0])


def hinted(functions: list[dict[str, Any]], category: str) -> list[dict[str, Any]]:
    """Documents as models see them, with hints at their language; changed in place."""
    return list(func_doc_language_specific_pre_processing(functions, category))


def judge(category: str, rows: tuple[list[Any], list[Any], list[Any]], handler: Any, model: str) -> None:
    """Let upstream judge answers to entries with gold answers; `captured` has what it says."""
    answers, entries, gold = rows
    if "relevance" in category:
        eval_runner.relevance_file_runner(handler, answers, entries, model, category, Path())
    elif "multi_turn" in category:
        eval_runner.multi_turn_runner(handler, answers, entries, gold, model, category, Path())
    else:
        language = {"java": "Java", "javascript": "JavaScript"}.get(category, "Python")
        eval_runner.ast_file_runner(handler, answers, entries, gold, language, category, model, Path())


@contextmanager
def captured() -> Iterator[list[Mapping[str, Any]]]:
    """What upstream's runners would write into score files: the counts, then one for each wrong answer."""
    written: list[Mapping[str, Any]] = []

    def keep(_: str, data: list[Mapping[str, Any]], __: object = None) -> None:
        written.extend(data)

    theirs = eval_runner.write_list_of_dicts_to_file
    eval_runner.write_list_of_dicts_to_file = keep
    try:
        yield written
    finally:
        eval_runner.write_list_of_dicts_to_file = theirs
