"""What a model's turn says, and whether it is an exact match with a gold turn. Never raises, whatever the text.

This is the accuracy that `rescore` and ToolWorld's benchmark count; no reward is computed from it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from toolrl_cli.rewards.matching import same_calls, same_value
from toolrl_cli.rewards.reading import assistant_turn

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
    text = assistant_turn(text[:MAX_CHARACTERS])
    block = _last_field(text, "tool_call")
    calls, problem = _calls(block) if block is not None else ((), "")
    if block is None and "<tool_call>" in text:
        problem = "<tool_call> is not closed"
    return Turn(
        _last_field(text, "think"), calls, "<tool_call>" in text, _last_field(text, "response"), problem
    )


def exact_match(completion: str, ground_truth: str) -> bool:
    """Whether `mismatch` finds nothing."""
    return not mismatch(parse_turn(ground_truth), parse_turn(completion))


def mismatch(gold: Turn, turn: Turn) -> str:
    """Why a turn is no exact match, in a few words; empty where it is one.

    A turn that should call matches if its calls, as a multiset of (name, parameters), are those of the gold turn, with
    values equal as in `matching.same_value`; one that should not, if it calls nothing and, where the gold turn has a
    response, has one.
    """
    if not gold.called:
        if turn.called:
            return "called a tool where none fits"
        return "no response" if gold.response and not turn.response else ""
    if gold.problem:
        return f"the gold answer cannot be read: {gold.problem}"
    if not turn.called:
        return "called nothing"
    if turn.problem:
        return turn.problem
    try:
        if same_calls(list(gold.calls), list(turn.calls)):
            return ""
    except RecursionError:
        return "nested too deep to be compared"
    if len(turn.calls) != len(gold.calls):
        return f"{len(turn.calls)} calls instead of {len(gold.calls)}"
    if sorted(c["name"] for c in gold.calls) != sorted(c["name"] for c in turn.calls):
        return "wrong tool"
    missed = next(
        (c for c in gold.calls if not any(same_value(c, each) for each in turn.calls)), gold.calls[0]
    )
    return f"wrong parameters; wanted {_written(missed)}"


def _written(call: dict[str, Any]) -> str:
    try:
        return json.dumps([call["name"], call["parameters"]], sort_keys=True, ensure_ascii=False)
    except RecursionError:
        return str(call["name"])


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
