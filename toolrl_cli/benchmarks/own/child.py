"""The process in which a user's evaluation runs: `python -m toolrl_cli.benchmarks.own.child FILE REQUEST ANSWER`.

A request is a JSON file: `{"do": "items"}`, `{"do": "judge", "items": [...], "replies": [...]}`, or, of a `Benchmark`
object, `{"do": "metrics", "ids": [...], "verdicts": [...]}`; so is the answer. With `FILE converse` it leads the
object's conversations, a line of JSON a step on standard input and output. What the user's code prints goes to the log.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.benchmarks.own.benchmark_object import Asked, category_of, object_in, verdict_row
from toolrl_cli.benchmarks.own.faults import Unusable, told
from toolrl_cli.benchmarks.own.importing import find_beside, module_of
from toolrl_cli.processes.child import leave_to_users
from toolrl_cli.wording import cut


def main(file: str, request: str, answer: str = "") -> int:
    """Answer one request, or lead conversations; 0 where that was done."""
    if request == "converse":
        return _converse(Path(file))
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    try:
        found: dict[str, Any] = {"value": _answer(Path(file), asked)}
        text = json.dumps(found)
    except BaseException as error:  # a user's code may raise SystemExit, and more
        if not isinstance(error, Unusable):
            traceback.print_exc()
        text = json.dumps({"fault": told(error)})
    Path(answer).write_text(text, encoding="utf-8")
    return 0


def _converse(file: Path) -> int:
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        known = object_in(module_of(file))
        assert known is not None
        Asked(known).converse(sys.stdin, out)
    return 0


def _answer(file: Path, asked: Mapping[str, Any]) -> Any:
    module = module_of(file)
    known = object_in(module)
    if known is not None:
        return _of_object(Asked(known), asked)
    if asked["do"] == "items":
        rows = [_row(position, row) for position, row in enumerate(_list(_function(module, "items")()))]
        for position, row in enumerate(rows):
            _check_kept(position, row["given"])
        return {"rows": rows, "about": {}}
    judge = _function(module, "judge")
    pairs = zip(asked["items"], asked["replies"], strict=True)
    return [verdict_row(judge(row["given"], reply["output"]), row["id"]) for row, reply in pairs]


def _of_object(known: Asked, asked: Mapping[str, Any]) -> Any:
    match asked["do"]:
        case "items":
            rows = [_row(position, row) for position, row in enumerate(_list(known.items))]
            return {"rows": rows, "about": known.about()}
        case "judge":
            return known.verdicts([row["id"] for row in asked["items"]], asked["replies"])
        case _:
            return known.metrics(asked["ids"], asked["verdicts"])


def _function(module: Any, name: str) -> Any:
    found = getattr(module, name, None)
    if not callable(found):
        raise Unusable(f"{name} is no function")
    return found


def _list(rows: Any) -> list[Any]:
    try:
        found = list(rows)
    except TypeError as error:
        raise Unusable(f"items() gives {type(rows).__name__}, and no list") from error
    if not found:
        raise Unusable("items() gives no item")
    return found


def _row(position: int, row: Any) -> dict[str, Any]:
    """An item as JSON, with what `judge` is given under `given`."""
    given = asdict(row) if is_dataclass(row) and not isinstance(row, type) else row
    if not isinstance(given, Mapping):
        raise Unusable(f"item {position} is {type(row).__name__}, and no mapping")
    messages = given.get("messages")
    if messages is None and isinstance(given.get("prompt"), str):
        messages = [{"role": "user", "content": given["prompt"]}]
    if not _are_messages(messages):
        raise Unusable(f"item {position} has neither a text `prompt` nor a list of `messages`")
    if given is row and given.get("prompt") not in (
        None,
        *(message["content"] for message in messages or ()),
    ):
        raise Unusable(f"item {position} has `messages` and a `prompt` that is none of them: give one")
    found = {
        "id": str(given.get("id", position)),
        "category": category_of(given.get("category")),
        "messages": messages,
        "gold": given.get("gold"),
        "tools": given.get("tools"),
        "given": given,
    }
    try:
        json.dumps(found)
    except (TypeError, ValueError) as error:
        raise Unusable(f"item {position} is no JSON: {error}") from error
    return found


def _check_kept(position: int, given: Mapping[Any, Any]) -> None:
    """Refuse what `judge`, which is called in another process, would be given otherwise than `items` gave it."""
    kept = json.loads(json.dumps(given))
    for key, value in given.items():
        if key not in kept or not _is_same(kept[key], value):
            raise Unusable(
                f"item {position} would not reach judge as it is, but as JSON:"
                f" {cut(repr({key: value}), 80)} (use lists and not tuples, and text as keys)"
            )


def _is_same(kept: Any, given: Any) -> bool:
    if isinstance(kept, dict) and isinstance(given, dict):
        return kept.keys() == given.keys() and all(_is_same(kept[key], given[key]) for key in kept)
    if isinstance(kept, list) and isinstance(given, list):
        return len(kept) == len(given) and all(map(_is_same, kept, given))
    return bool(kept == given) or kept != kept  # what is missing in a table is NaN, as it was


def _are_messages(messages: Any) -> bool:
    return (
        isinstance(messages, Sequence)
        and not isinstance(messages, str)
        and bool(messages)
        and all(isinstance(m, Mapping) and isinstance(m.get("content"), str) for m in messages)
    )


FILE = "TOOLRL_OWN_EVALUATION"
"""Variable of the processes that the user's code starts: its file."""

if __name__ == "__mp_main__":  # in one that it has started by `multiprocessing`
    find_beside(Path(os.environ[FILE]))

if __name__ == "__main__":
    leave_to_users()
    os.environ[FILE] = str(Path(sys.argv[1]).absolute())
    sys.exit(main(*sys.argv[1:]))
