"""Gold answers as calls, so that a perfect model can be played: what it scores is the most that can be scored."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

Calls = list[dict[str, Any]]


def gold_calls(category: str, entry: Mapping[str, Any], gold: Any) -> Any:
    """The calls of a right answer, `{"name", "parameters"}` each; of several turns, a list of them for each turn."""
    if "multi_turn" in category:
        held_back = entry.get("missed_function", {}).values()
        documents = [*entry["function"], *(tool for tools in held_back for tool in tools)]
        names = {tool["name"]: list(tool["parameters"]["properties"]) for tool in documents}
        return [[_executed(source, names) for source in turn] for turn in gold]
    if "irrelevance" in category:
        return []
    if "relevance" in category:
        return [{"name": entry["function"][0]["name"], "parameters": {}}]
    tools = {tool["name"]: tool["parameters"] for tool in entry["function"]}
    calls = []
    for call in gold:
        ((name, options),) = call.items()
        if len(tools) == 1:
            (name,) = tools  # two items offer a tool under another name than their answer has
        schema = tools[name]["properties"]
        parameters = {
            key: _as_text(value, schema.get(key, {}), category)
            for key, accepted in options.items()
            for value in _chosen(accepted, key in tools[name]["required"])
        }
        calls.append({"name": name, "parameters": parameters})
    return calls


def _chosen(accepted: Sequence[Any], required: bool = False) -> list[Any]:
    """The first accepted value in a list of one; an empty list where the argument may be left out."""
    if not accepted or ("" in accepted and not required):
        return []
    return [_plain(next((value for value in accepted if value != ""), ""))]


def _plain(value: Any) -> Any:
    """A value without the lists of accepted ones that stand for the members of its objects."""
    if isinstance(value, dict):
        return {key: chosen for key, accepted in value.items() for chosen in _members(accepted)}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return value


def _members(accepted: Any) -> list[Any]:
    return _chosen(accepted) if isinstance(accepted, list) else [_plain(accepted)]


def _as_text(value: Any, schema: Mapping[str, Any], language: str) -> Any:
    """A value of Java or JavaScript as a text in that language, which their answers must be; any other as it is."""
    if language.endswith("javascript"):
        return value if isinstance(value, str) else json.dumps(value)
    return (
        _java(value, schema.get("type", "any"), schema.get("items", {}).get("type", ""))
        if language.endswith("java")
        else value
    )


def _java(value: Any, kind: str, member: str = "") -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        puts = "".join(f'put("{key}", {_member(inner, "")}); ' for key, inner in value.items())
        return f"new HashMap<>() {{{{ {puts}}}}}"
    if isinstance(value, list) and kind == "ArrayList":
        return f"new ArrayList<>(Arrays.asList({', '.join(_member(inner, member) for inner in value)}))"
    if isinstance(value, list):
        # upstream reads the members of an array with their quotes: a string must have none
        return f"new {member}[]{{{', '.join(_java(inner, member) for inner in value)}}}"
    return json.dumps(value) + ("L" if kind == "long" else "")


def _member(value: Any, kind: str) -> str:
    return json.dumps(value) if isinstance(value, str) else _java(value, kind)


def _executed(source: str, names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A call in Python source, its positional arguments named."""
    call = ast.parse(source.strip(), mode="eval").body
    assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    parameters = {
        name: ast.literal_eval(value) for name, value in zip(names[call.func.id], call.args, strict=False)
    }
    parameters |= {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    return {"name": call.func.id, "parameters": parameters}
