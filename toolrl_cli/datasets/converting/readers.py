"""One reader for each format; a row gives one turn, or one for each time the assistant speaks."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from toolrl_cli.datasets.converting.turns import Json, Refused, Tool, Turn, calls_of, decoded, tools_of
from toolrl_cli.rewards import RewardError
from toolrl_cli.rewards.reading import CALL, RESPONSE, read_truth

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
    yield answered(tools_of(row.get(fields["tools"])), (("user", query),), row.get(fields["calls"]))


def answered(tools: tuple[Tool, ...], before: tuple[tuple[str, str], ...], raw: Any, think: str = "") -> Turn:
    """A turn from its gold answer: calls (a list, one, or their JSON text), a gold turn with its tags, or words.

    Raises:
        Refused: it is none, or its calls cannot be read.
    """
    if not isinstance(raw, str) or raw.lstrip().startswith(("[", "{")):
        return Turn(tools, before, calls_of(raw), think=think)
    if CALL not in raw and RESPONSE not in raw:
        return Turn(tools, before, text=raw, think=think)
    blocks = _BLOCK.findall(raw)
    if raw.count(CALL) > max(1, len(blocks)):
        raise Refused("of several <tool_call> blocks of the gold turn one is not closed")
    if len(blocks) > 1:  # Hermes' form: a block for every call, and here a line
        calls = tuple(call for block in blocks for call in _calls_in(block))
        whole = Turn(tools, before, calls).calls_block()
        first, *rest = _BLOCK.split(raw)[::2]
        raw = "\n".join(part.strip() for part in (first, whole, *rest) if part.strip())
    try:
        found = [call for call in read_truth(raw).calls if isinstance(call, Mapping)]
    except RewardError:
        raise Refused("the calls of the gold turn are not one JSON object a line") from None
    return Turn(tools, before, tuple((str(call.get("name")), call) for call in found), think=think, whole=raw)


def read_hermes(row: Json, fields: Mapping[str, str]) -> Iterator[Turn]:
    """Hermes function calling: conversations whose assistant writes one `<tool_call>` block for every call.

    Raises:
        Refused: it is no such row.
    """
    conversation = conversation_of(row.get("conversations", row.get("messages")))
    system = next((message.text for message in conversation if message.role == "system"), "")
    listed = re.search(r"<tools>\s*(.*?)\s*</tools>", system, re.DOTALL)
    tools = tools_of(row["tools"] if row.get("tools") else _lines(listed.group(1)) if listed else None)
    yield from spoken([message for message in conversation if message.role != "system"], tools)


def _calls_in(block: str) -> tuple[tuple[str, Json], ...]:
    """The calls of one block: one or a list, or one a line.

    Raises:
        Refused: a call cannot be read.
    """
    try:
        return calls_of(_python(block))
    except Refused:
        return tuple(call for line in block.split("\n") if line.strip() for call in calls_of(_python(line)))


class Message(NamedTuple):
    """One message of a conversation; `calls` are those that stand beside its text, as OpenAI's form has them."""

    role: str
    text: str
    calls: tuple[tuple[str, Json], ...] = ()


def spoken(conversation: Sequence[Message], tools: tuple[Tool, ...]) -> Iterator[Turn]:
    """A turn for each time the assistant speaks; its text may hold `<tool_call>` blocks and a thought.

    Raises:
        Refused: a call cannot be read.
    """
    before: list[tuple[str, str]] = []
    for message in conversation:
        if message.role == "assistant":
            yield _turn(message, tools, tuple(before))
        before.append(said(message))


def said(message: Message) -> tuple[str, str]:
    """Speaker and text of a message as later turns see it: of the assistant, its turn.

    Raises:
        Refused: a call cannot be read.
    """
    if message.role == "assistant":
        return message.role, _turn(message, (), ()).gold()
    return message.role, _RESPONSE.sub("", message.text).strip()


def _turn(message: Message, tools: tuple[Tool, ...], before: tuple[tuple[str, str], ...]) -> Turn:
    think = next((a or b for a, b in _THINK.findall(message.text)), "").strip()
    calls = tuple(call for block in _BLOCK.findall(message.text) for call in calls_of(_python(block)))
    text = _THINK.sub("", _BLOCK.sub("", message.text)).strip()
    return Turn(tools, before, (*calls, *message.calls), text, think)


def read_toolace(row: Json, fields: Mapping[str, str]) -> Iterator[Turn]:
    """ToolACE: a system text that ends with a JSON list of tools; calls as `[Name(key=value), …]`.

    Raises:
        Refused: it is no such row.
    """
    system = str(row.get("system", ""))
    tools = tools_of(_first_list(system))
    before: list[tuple[str, str]] = []
    for role, text, _ in conversation_of(row.get("conversations", row.get("messages"))):
        if role == "assistant":
            calls = _python_calls(text, tools)
            turn = Turn(tools, tuple(before), calls, "" if calls else text)
            yield turn
            before.append((role, turn.gold()))
        elif role != "system":
            before.append((role, text))


def conversation_of(raw: Any) -> list[Message]:
    """Messages: `role` and `content`, perhaps with `tool_calls`, or `from` and `value`.

    Raises:
        Refused: they are none.
    """
    if not isinstance(raw, list) or not raw:
        raise Refused("there are no conversations")
    found = []
    for message in raw:
        told = message if isinstance(message, Mapping) else {}
        role = _ROLES.get(str(told.get("from", told.get("role"))))
        calls = calls_of(list(told["tool_calls"])) if told.get("tool_calls") else ()
        text = told.get("value", told.get("content"))
        text = "" if text is None and calls else text
        if role is None or not isinstance(text, str):
            raise Refused("a message has no known speaker, or no text")
        found.append(Message(role, text, calls))
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
