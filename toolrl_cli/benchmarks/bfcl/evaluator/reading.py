"""Tool calls read in a model's text, and calls that must never be executed.

Simulators execute calls as Python source, so that names and argument names are code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

Call = dict[str, Any]
"""`{name: arguments}`, as upstream's checkers take it."""

TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
REFUSED = "refused_call()"
"""Executed in place of a call that is refused: no simulator has it, so that it fails as an unknown tool does."""


def rlla_calls(text: str) -> list[Any]:
    """What stands in the last `<tool_call>`, a JSON value a line; lines that are not JSON are left out.

    As ToolRL's handler reads it (github.com/qiancheng0/ToolRL at 8cee13e, benchmarks/BFCL/rlla_qwen.py).
    """
    if "<tool_call>" not in text:
        return []
    found = []
    for line in text.split("<tool_call>")[-1].split("</tool_call>")[0].strip().split("\n"):
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return found


def rlla_ast(text: str) -> list[Call]:
    """The calls to compare with a gold answer, `{name: parameters}` each: those with both, named `none` aside."""
    calls = [call for call in rlla_calls(text) if isinstance(call, dict) and "parameters" in call]
    return [
        {call["name"]: call["parameters"]}
        for call in calls
        if isinstance(call.get("name"), str) and call["name"].strip().lower() != "none"
    ]


def rlla_sources(text: str, executable: Callable[[str], bool]) -> list[str]:
    """The calls to execute, as Python source.

    Args:
        text: the model's turn.
        executable: `executable_names(…)`.

    Raises:
        ValueError: a name or parameters are of another type than they must be, which ends a turn.
    """
    sources = []
    for call in rlla_calls(text):
        if not isinstance(call, dict):
            continue
        name, parameters = call.get("name", ""), call.get("parameters", {})
        if not isinstance(name, str):
            raise ValueError("the name of a tool is no text")
        if name.strip().lower() == "none":
            continue
        sources.append(source(name, parameters, executable))
    return sources


def native_calls(text: str) -> list[tuple[str, Any]]:
    """The calls (name, arguments) of a turn in the usual forms of models' own templates; thoughts aside.

    JSON objects in `<tool_call>`; or a turn that is JSON and nothing else: an object, a list of them, or several with
    `;` between, after `<|python_tag|>` or `[TOOL_CALLS]`. Their arguments are under `arguments` or `parameters`.
    """
    said = text.split("</think>")[-1]
    if "<tool_call>" in said:
        parts = [part.split("</tool_call>")[0] for part in said.split("<tool_call>")[1:]]
        values = [value for part in parts for value in _json_values(part, "\n")]
    else:
        for mark in ("<|python_tag|>", "[TOOL_CALLS]", "<|eom_id|>", "<|eot_id|>"):
            said = said.replace(mark, "")
        values = _json_values(said, ";")
    calls = []
    for value in values:
        call = value.get("function", value) if isinstance(value, dict) else None
        if isinstance(call, dict) and isinstance(call.get("name"), str):
            arguments = call.get("arguments", call.get("parameters", {}))
            (read,) = (
                _json_values(arguments, "") or [arguments] if isinstance(arguments, str) else [arguments]
            )
            calls.append((call["name"], read))
    return calls


def _json_values(text: str, separator: str) -> list[Any]:
    """The JSON values of a text: one, the members of a list, or several with separators; none where it is no JSON."""
    pieces = [[text], text.strip().split(separator)] if separator else [[text]]
    for way in pieces:
        try:
            values = [json.loads(piece) for piece in way if piece.strip()]
        except (ValueError, RecursionError):
            continue
        return values[0] if len(values) == 1 and isinstance(values[0], list) else values
    return []


def native_ast(text: str) -> list[Call]:
    """The calls to compare with a gold answer, `{name: arguments}` each."""
    return [{name: arguments} for name, arguments in native_calls(text)]


def native_sources(text: str, executable: Callable[[str], bool]) -> list[str]:
    """The calls to execute, as Python source.

    Raises:
        ValueError: the arguments of one are no object, which ends a turn.
    """
    return [source(name, arguments, executable) for name, arguments in native_calls(text)]


def source(name: str, parameters: object, executable: Callable[[str], bool]) -> str:
    """A call as Python source, or `REFUSED`.

    Raises:
        ValueError: the parameters are no object.
    """
    if not isinstance(parameters, Mapping):
        raise ValueError("the parameters of a call are no object")
    if not executable(name) or not all(str(key).isidentifier() for key in parameters):
        return REFUSED
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in parameters.items())})"


def executable_names(tools: Collection[str], reachable: Collection[str]) -> Callable[[str], bool]:
    """Which names may stand in source that is executed.

    Tools may, and names that lead nowhere, so that the simulator itself says that they are unknown. No other name that
    the source could reach may: `open`, `inspect.os.system`.

    Args:
        tools: names of the simulators' methods.
        reachable: builtins, and globals and locals of what executes the source.
    """

    def executable(name: str) -> bool:
        name = name.strip()
        if name in tools:
            return True
        parts = name.split(".")
        return bool(TOOL_NAME.fullmatch(name)) and parts[0] not in reachable

    return executable
