"""The form in which a design expects calls: which block, what stands in it, and the key of the arguments.

`toolrl` is the form of the ToolRL prompts and the default; a design of another paper has that paper's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from toolrl_cli.rewards.errors import RewardError, no_others, one_of, shown
from toolrl_cli.rewards.reading import CALL, CALL_END, UNREADABLE, read_calls

BLOCKS = ("first", "last", "every", "whole")
FORMS = ("lines", "json", "any", "react")
ACTION, INPUT, RESULT = "Action:", "Action Input:", "Observation:"
KEYS = ("parameters", "arguments", "either")
MALFORMED = ("refuse", "drop")
_OBJECT = re.compile(r"\{")


class Call(NamedTuple):
    """One call: the tool's name, and its arguments by name."""

    name: str
    arguments: dict[str, Any]


class ReadCalls(NamedTuple):
    """What a turn calls, read in one style.

    Attributes:
        calls: in order; None where the turn has no block, its block is no JSON, or a call is malformed.
        called: there is a block at all.
        readable: there is a block and it is JSON of the form that is asked for.
        problem: why `calls` is None; empty otherwise.
    """

    calls: tuple[Call, ...] | None
    called: bool
    readable: bool
    problem: str


@dataclass(frozen=True)
class Style:
    """How a turn is read.

    Attributes:
        block: the `first`, the `last` or `every` block between the tags, or the `whole` text without tags.
        form: `lines` (one JSON value a line), `json` (one value: a list of calls, or a call; a text is decoded once
            more), `any` (either, else every JSON object that can be found in it), or `react` (the last `Action:` and
            the last `Action Input:` of the text, without tags).
        key: what a call has its arguments under: `parameters`, `arguments`, or `either`.
        malformed: a call without name or arguments object: `refuse` all calls, or `drop` it.
        tags: opening and closing tag of a block.
    """

    block: str = "first"
    form: str = "lines"
    key: str = "parameters"
    malformed: str = "refuse"
    tags: tuple[str, str] = (CALL, CALL_END)

    def read(self, turn: str) -> ReadCalls:
        """The calls of a turn, tags kept."""
        blocks = self._blocks(turn)
        if not blocks:
            lacks = ACTION if self.form == "react" else f"{self.tags[0]} … {self.tags[1]} block"
            return ReadCalls(None, False, False, f"no {lacks}")
        return self.read_blocks(blocks)

    def read_blocks(self, blocks: list[str]) -> ReadCalls:
        """The calls of blocks without their tags."""
        values: list[Any] = []
        try:
            for block in blocks:
                values += _PARSERS[self.form](block)
        except UNREADABLE as fault:
            reason = "nested too deep" if isinstance(fault, RecursionError) else str(fault)
            return ReadCalls(None, True, False, f"the calls are not readable as {self.form}: {reason}")
        calls = []
        for position, value in enumerate(values):
            call = self._call(value)
            if call is not None:
                calls.append(call)
            elif self.malformed == "refuse":
                return ReadCalls(
                    None, True, True, f"call {position + 1} has no name, or no object {self.key!r}"
                )
        return ReadCalls(tuple(calls), True, True, "")

    def write(self, calls: tuple[Call, ...]) -> str:
        """Calls as text in this style, which `read` reads again; of `react` the last."""
        if self.form == "react":
            return "\n".join(
                f"{ACTION} {call.name}\n{INPUT} {json.dumps(call.arguments, ensure_ascii=False)}"
                for call in calls
            )
        key = "arguments" if self.key == "either" else self.key
        values = [{"name": call.name, key: call.arguments} for call in calls]
        lines = [json.dumps(value, ensure_ascii=False) for value in values]
        text = "\n".join(lines) if self.form == "lines" else f"[{', '.join(lines)}]"
        return text if self.block == "whole" else f"{self.tags[0]}\n{text}\n{self.tags[1]}"

    def to_dict(self) -> dict[str, Any]:
        """All settings that differ from the default, ready for JSON."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {**found, **({"tags": list(self.tags)} if "tags" in found else {})}

    def _blocks(self, turn: str) -> list[str]:
        if self.form == "react":
            return [turn] if ACTION in turn else []
        if self.block == "whole":
            return [turn] if turn else []
        opening, closing = self.tags
        found = []
        at = turn.find(opening)
        while at >= 0:
            end = turn.find(closing, at)
            if end < 0:
                break
            found.append(turn[at + len(opening) : end])
            at = turn.find(opening, end)
        return found if self.block == "every" else found[:1] if self.block == "first" else found[-1:]

    def _call(self, value: Any) -> Call | None:
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            return None
        keys = KEYS[:2] if self.key == "either" else (self.key,)
        arguments = next((value[key] for key in keys if key in value), None)
        return Call(value["name"], arguments) if isinstance(arguments, dict) else None


def _one_value(block: str) -> list[Any]:
    value = json.loads(block)
    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise ValueError(f"{shown(value)} is no list and no object")
    return value


def _anything(block: str) -> list[Any]:
    for parse in (_one_value, read_calls):
        try:
            return parse(block)
        except ValueError:
            continue
    return _objects(block)


def _objects(text: str) -> list[Any]:
    """Every JSON object in a text, from left to right, none inside another."""
    decode, found, at = json.JSONDecoder().raw_decode, [], 0
    for _ in range(text.count("{")):
        begin = _OBJECT.search(text, at)
        if begin is None:
            break
        try:
            value, at = decode(text, begin.start())
            found.append(value)
        except ValueError:
            at = begin.end()
    return found


def _react(text: str) -> list[Any]:
    """The last action of a text, up to the result that a model may have gone on with."""
    if text.endswith(RESULT):
        text = text.partition(RESULT)[0]
    name = text.rpartition(ACTION)[2].partition(INPUT)[0].strip()
    given = text.rpartition(INPUT)[2].strip() if INPUT in text else "{}"
    return [{"name": name, "arguments": json.loads(given)}]


_PARSERS: Mapping[str, Callable[[str], list[Any]]] = {
    "lines": read_calls,
    "json": _one_value,
    "any": _anything,
    "react": _react,
}

STYLES: Mapping[str, Style] = {
    "toolrl": Style(),
    "tool_n1": Style("last", "json", "arguments"),
    "hermes": Style("every", "any", "arguments"),
    "bare": Style("whole", "json", "either"),
    "react": Style("last", "react", "arguments"),
}
"""By name: ToolRL's prompts; Tool-N1's (the last block, a JSON list); Hermes function calling (a block for every call,
as Qwen's own chat template has it); JSON and nothing else; ReAct's `Action:` and `Action Input:`."""


def parse_style(raw: Any, where: str) -> Style:
    """A style: its name, or a mapping of its settings, `like` being the name of the one that it starts from.

    Raises:
        RewardError: it is neither.
    """
    if isinstance(raw, str):
        return STYLES[one_of(raw, tuple(STYLES), where)]
    if not isinstance(raw, Mapping):
        raise RewardError(
            f"{shown(raw)} is no way to read calls", where, f"one of {', '.join(STYLES)}, or a mapping"
        )
    known = {"block": BLOCKS, "form": FORMS, "key": KEYS, "malformed": MALFORMED}
    no_others(raw, {*known, "tags", "like"}, where)
    if "react" in (raw.get("like"), raw.get("form")):
        own = {**asdict(STYLES["react"]), "like": raw.get("like")}
        other = next((key for key in raw if raw[key] != own[key]), None)
        if other is not None:
            raise RewardError("the form react has no other settings", f"{where}.{other}", "reading: react")
        return STYLES["react"]
    given = asdict(STYLES[one_of(raw.get("like", "toolrl"), tuple(STYLES), f"{where}.like")])
    given |= {key: one_of(raw[key], words, f"{where}.{key}") for key, words in known.items() if key in raw}
    tags = raw.get("tags", given["tags"])
    if (
        not isinstance(tags, (list, tuple))
        or len(tags) != 2
        or not all(isinstance(t, str) and t for t in tags)
    ):
        raise RewardError(f"{shown(tags)} is no pair of tags", f"{where}.tags", "[<tool_call>, </tool_call>]")
    return Style(**{**given, "tags": (tags[0], tags[1])})
