"""What a model's turn says: thought, calls and response. Never raises, whatever the text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

MAX_CHARACTERS = 200_000
"""A longer turn is no answer to any benchmark; it is cut here so that a hostile one costs no time."""


@dataclass(frozen=True)
class Turn:
    """One assistant turn.

    Attributes:
        think: text of the last `<think>` field, or None.
        calls: `{"name", "parameters"}` of the last `<tool_call>` field, in order; empty where it has none
            that can be read.
        called: there is a `<tool_call>` field at all.
        response: text of the last `<response>` field, or None.
        problem: why the calls cannot be read; empty where they can, or where there are none.
    """

    think: str | None
    calls: tuple[dict[str, Any], ...]
    called: bool
    response: str | None
    problem: str = ""


def parse_turn(text: str) -> Turn:
    """Read a turn in the rlla format; of several fields of one kind the last counts, as in the paper's evaluators.

    Args:
        text: the turn, tags kept.
    """
    text = text[:MAX_CHARACTERS]
    block = _last_field(text, "tool_call")
    calls, problem = _calls(block) if block is not None else ((), "")
    if block is None and "<tool_call>" in text:
        problem = "<tool_call> is not closed"
    return Turn(
        _last_field(text, "think"), calls, "<tool_call>" in text, _last_field(text, "response"), problem
    )


def canonical(call: dict[str, Any]) -> str:
    """A call as text that is equal for equal calls, whatever the order of the parameters."""
    return json.dumps([call["name"], call["parameters"]], sort_keys=True, ensure_ascii=False)


def _last_field(text: str, tag: str) -> str | None:
    end = text.rfind(f"</{tag}>")
    start = text.rfind(f"<{tag}>", 0, end) if end >= 0 else -1
    return text[start + len(tag) + 2 : end].strip() if start >= 0 else None


def _calls(block: str) -> tuple[tuple[dict[str, Any], ...], str]:
    calls = []
    for line in block.split("\n"):
        if not line.strip():
            continue
        try:
            call = json.loads(line)
        except (ValueError, RecursionError):
            return (), "a line of <tool_call> is not JSON"
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            return (), "a call has no name"
        parameters = call.get("parameters")
        if not isinstance(parameters, dict):
            return (), f"call {call['name']!r} has no parameters"
        calls.append({"name": call["name"], "parameters": parameters})
    return (tuple(calls), "") if calls else ((), "<tool_call> is empty")
