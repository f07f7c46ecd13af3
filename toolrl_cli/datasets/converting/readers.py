"""One reader for each format; a row gives one turn, or one for each time the assistant speaks."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from toolrl_cli.datasets.converting.turns import Json, Refused, Tool, Turn, calls_of, decoded, tools_of

FIELDS = {"query": "query", "calls": "answers", "tools": "tools"}
"""Of the format `xlam`: what a turn needs → the name of the field that has it."""
_BLOCK = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_THINK = re.compile(r"<think>(.*?)</think>|<scratch_pad>(.*?)</scratch_pad>", re.DOTALL)
_RESPONSE = re.compile(r"</?tool_response>")
_ROLES = {
    **{"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"},
    **{"tool": "observation", "function": "observation", "observation": "observation"},
}


def read_xlam(row: Json, fields: Mapping[str, str]) -> Iterator[Turn]:
    """xLAM's and APIGen's form: a query, the calls that answer it, the tools; the last two as JSON texts.

    Raises:
        Refused: it is no such row.
    """
    query = row.get(fields["query"])
    if not isinstance(query, str) or not query.strip():
        raise Refused(f"the field {fields['query']!r} is no text")
    tools, raw = tools_of(row.get(fields["tools"])), row.get(fields["calls"])
    if isinstance(raw, str) and not raw.lstrip().startswith(("[", "{")):
        yield Turn(tools, (("user", query),), text=raw)  # an answer in words: no tool fits
        return
    yield Turn(tools, (("user", query),), calls_of(raw))


def read_hermes(row: Json, fields: Mapping[str, str]) -> Iterator[Turn]:
    """Hermes function calling: conversations whose assistant writes one `<tool_call>` block for every call.

    Raises:
        Refused: it is no such row.
    """
    conversation = _conversation(row)
    system = next((text for role, text in conversation if role == "system"), "")
    listed = re.search(r"<tools>\s*(.*?)\s*</tools>", system, re.DOTALL)
    tools = tools_of(row["tools"] if row.get("tools") else _lines(listed.group(1)) if listed else None)
    before: list[tuple[str, str]] = []
    for role, text in conversation:
        if role == "assistant":
            think = next((a or b for a, b in _THINK.findall(text)), "").strip()
            calls = tuple(call for block in _BLOCK.findall(text) for call in calls_of(_python(block)))
            said = _THINK.sub("", _BLOCK.sub("", text)).strip()
            turn = Turn(tools, tuple(before), calls, said, think)
            yield turn
            before.append((role, turn.gold()))
        elif role != "system":
            before.append((role, _RESPONSE.sub("", text).strip()))


def read_toolace(row: Json, fields: Mapping[str, str]) -> Iterator[Turn]:
    """ToolACE: a system text that ends with a JSON list of tools; calls as `[Name(key=value), …]`.

    Raises:
        Refused: it is no such row.
    """
    system = str(row.get("system", ""))
    tools = tools_of(_first_list(system))
    before: list[tuple[str, str]] = []
    for role, text in _conversation(row):
        if role == "assistant":
            calls = _python_calls(text, tools)
            turn = Turn(tools, tuple(before), calls, "" if calls else text)
            yield turn
            before.append((role, turn.gold()))
        elif role != "system":
            before.append((role, text))


def _conversation(row: Json) -> list[tuple[str, str]]:
    raw = row.get("conversations", row.get("messages"))
    if not isinstance(raw, list) or not raw:
        raise Refused("there are no conversations")
    found = []
    for message in raw:
        told = message if isinstance(message, Mapping) else {}
        role = _ROLES.get(str(told.get("from", told.get("role"))))
        text = told.get("value", told.get("content"))
        if role is None or not isinstance(text, str):
            raise Refused("a message has no known speaker, or no text")
        found.append((role, text))
    return found


def _lines(text: str) -> Any:
    """Tools as a JSON list, or one JSON object a line."""
    try:
        return json.loads(text)
    except ValueError:
        return [decoded(line, "the tools are no JSON") for line in text.split("\n") if line.strip()]


def _python(block: str) -> Any:
    """A call as JSON, or as Python writes a dict, which Hermes' rows have beside it."""
    try:
        return json.loads(block)
    except (ValueError, RecursionError):
        return _literal(block, "a call is neither JSON nor a Python dict")


def _literal(text: str, why: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise Refused(why) from None


def _first_list(text: str) -> Any:
    """The first JSON list of objects in a text."""
    decode = json.JSONDecoder().raw_decode
    for match in re.finditer(r"\[\s*\{", text):
        try:
            return decode(text, match.start())[0]
        except ValueError:
            continue
    return None


def _python_calls(text: str, tools: tuple[Tool, ...]) -> tuple[tuple[str, Json], ...]:
    """`[Get Price(city="x", days=2), …]`; names may have spaces and dots. Empty where the text is none."""
    inner = text.strip()
    if not (inner.startswith("[") and inner.endswith("]")):
        return ()
    names = sorted((tool.name for tool in tools), key=len, reverse=True)
    aliases = {name: f"tool_{number}" for number, name in enumerate(names)}
    pattern = re.compile(rf"(?<![\w\"'])(?:{'|'.join(map(re.escape, names))})(?=\s*\()")
    renamed = pattern.sub(lambda match: aliases[match.group(0)], inner)
    try:
        tree = ast.parse(renamed, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise Refused("the calls are not readable as [Name(key=value), …]") from None
    if not isinstance(tree, ast.List) or not all(isinstance(each, ast.Call) for each in tree.elts):
        return ()
    by_alias = {alias: name for name, alias in aliases.items()}
    found = []
    for each in tree.elts:
        assert isinstance(each, ast.Call)
        alias = each.func.id if isinstance(each.func, ast.Name) else ""
        if each.args or any(keyword.arg is None for keyword in each.keywords):
            raise Refused("a call has arguments without names")
        arguments = {
            str(keyword.arg): _literal(ast.unparse(keyword.value), "an argument is no value")
            for keyword in each.keywords
        }
        found.append((by_alias.get(alias, alias), arguments))
    return tuple(found)


READERS: Mapping[str, Callable[[Json, Mapping[str, str]], Iterator[Turn]]] = {
    "xlam": read_xlam,
    "hermes": read_hermes,
    "toolace": read_toolace,
}
