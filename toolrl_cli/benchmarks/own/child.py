"""The process in which a user's evaluation runs: `python -m toolrl_cli.benchmarks.own.child FILE REQUEST ANSWER`.

A request is a JSON file, `{"do": "items"}` or `{"do": "judge", "items": [...], "outputs": [...]}`; so is the answer.
What the user's code prints goes to the log.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.spec.benchmarks import Benchmark, Item, Reply, Verdict


class Unusable(Exception):
    """The user's code gives what cannot be used; as text, what."""


def main(file: str, request: str, answer: str) -> int:
    """Answer one request; 0 where that was written."""
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    try:
        found: dict[str, Any] = {"value": _answer(Path(file), asked)}
        text = json.dumps(found)
    except Unusable as error:
        text = json.dumps({"fault": str(error)})
    except BaseException as error:  # a user's code may raise SystemExit, and more
        traceback.print_exc()
        text = json.dumps({"fault": f"raised {type(error).__name__}: {error}"})
    Path(answer).write_text(text, encoding="utf-8")
    return 0


def _answer(file: Path, asked: Mapping[str, Any]) -> Any:
    module = _load(file)
    known = [value for value in vars(module).values() if isinstance(value, Benchmark)]
    if asked["do"] == "items":
        rows = known[0].items(None, None) if known else _function(module, "items")()
        return [_row(position, row) for position, row in enumerate(_list(rows))]
    if known:
        items = [
            Item(**{k: row.get(k) for k in ("id", "category", "messages", "gold", "tools")})
            for row in asked["items"]
        ]
        return [
            _verdict(known[0].judge(item, Reply(text)), item.id)
            for item, text in zip(items, asked["outputs"], strict=True)
        ]
    judge = _function(module, "judge")
    pairs = zip(asked["items"], asked["outputs"], strict=True)
    return [_verdict(judge(row["given"], output), row["id"]) for row, output in pairs]


def _load(file: Path) -> Any:
    sys.path.insert(0, str(file.parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


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
    found = {
        "id": str(given.get("id", position)),
        "category": str(given.get("category") or "overall"),
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


def _are_messages(messages: Any) -> bool:
    return (
        isinstance(messages, Sequence)
        and not isinstance(messages, str)
        and bool(messages)
        and all(isinstance(m, Mapping) and isinstance(m.get("content"), str) for m in messages)
    )


def _verdict(value: Any, item: str) -> dict[str, Any]:
    if isinstance(value, Verdict):
        return {"reason": value.reason, "calls": list(value.calls)}
    if isinstance(value, bool):
        return {"reason": "" if value else "wrong", "calls": []}
    if isinstance(value, str):
        return {"reason": value, "calls": []}
    raise Unusable(
        f"judge gives {value!r} for item {item}, and neither True, False nor what is wrong as text"
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
