"""What every reader gives: turns with the tools that are offered, the dialogue before, and what is called or said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolrl_cli.datasets.rlla_format import (
    SYSTEM_HEAD,
    SYSTEM_TAIL,
    THINK_RESPONSE,
    THINK_TOOL,
    history,
    user_turn,
)

Json = Mapping[str, Any]
TYPES = {
    **{"str": "string", "string": "string", "int": "integer", "integer": "integer", "float": "number"},
    **{"number": "number", "bool": "boolean", "boolean": "boolean", "list": "array", "array": "array"},
    **{"dict": "object", "object": "object", "any": "string"},
}

THOUGHT = "<think>"
PARAMETERS = ("parameters", "inputSchema", "input_schema")
"""Where a tool's schema stands: OpenAI's word, MCP's and Anthropic's."""


class Refused(Exception):
    """A row cannot be converted; the message says why, without the row's own text, so that reasons can be counted."""


@dataclass(frozen=True)
class Tool:
    """A tool that is offered.

    Attributes:
        name, description: of it.
        properties: parameter → its JSON schema.
        required: names of the parameters that a call must have.
    """

    name: str
    description: str
    properties: Mapping[str, Json]
    required: tuple[str, ...] = ()

    def schema(self) -> dict[str, Any]:
        """As `extra_info.tools` has it."""
        parameters = {
            "type": "object",
            "properties": dict(self.properties),
            "required": list(self.required),
        }
        return {"name": self.name, "description": self.description, "parameters": parameters}


@dataclass(frozen=True)
class Turn:
    """One assistant turn of a dialogue.

    Attributes:
        tools: offered.
        before: the dialogue so far: (`system`, `user`, `assistant` or `observation`, text).
        calls: (name, arguments) that are called; empty where the turn is text.
        text: what is said; empty where nothing is.
        think: the turn's own thought; empty where there is none.
        whole: the gold turn as it is, where it is given so; else it is made of the three before.
    """

    tools: tuple[Tool, ...]
    before: tuple[tuple[str, str], ...]
    calls: tuple[tuple[str, Json], ...] = ()
    text: str = ""
    think: str = ""
    whole: str = ""

    def check(self) -> None:
        """Refuse a turn that no model can give rightly.

        Raises:
            Refused: it calls what is not offered, where that is known, or says and calls nothing.
        """
        offered = {tool.name for tool in self.tools}
        if not self.calls and not self.text.strip() and not self.whole:
            raise Refused("the assistant neither calls nor says anything")
        if offered and any(name not in offered for name, _ in self.calls):
            raise Refused("a tool is called that is not offered")
        if not any(role == "user" for role, _ in self.before):
            raise Refused("nobody asks anything")

    @property
    def lost(self) -> list[str]:
        """What of it is in no row."""
        found = []
        if self.tools and any(role == "system" for role, _ in self.before):
            found.append("its own system message, in whose place that of the tools stands")
        if self.think and THOUGHT in self.whole:
            found.append("its thought, in whose place that of the gold turn stands")
        if self.calls and self.text.strip():
            found.append("the words beside its calls")
        return found

    def row(self, source: str, identity: str) -> dict[str, Any]:
        """An RL row in the format of ToolRL's prompts; where no tools are known, with the dialogue as it is."""
        if self.tools:
            said = [_told(role, text) for role, text in self.before if role != "system"]
            prompt = [("system", system_text(self.tools)), ("user", history(said))]
            own = {"tools": json.dumps([tool.schema() for tool in self.tools], ensure_ascii=False)}
        else:
            prompt, own = (
                [("tool" if role == "observation" else role, text) for role, text in self.before],
                {},
            )
        return {
            "data_source": source,
            "prompt": [{"role": role, "content": text} for role, text in prompt],
            "reward_model": {"style": "rule", "ground_truth": self.gold()},
            "extra_info": {"id": identity, **own},
        }

    def gold(self) -> str:
        """The gold turn."""
        if self.whole:
            thought = f"<think> {self.think} </think>\n" if self.think and THOUGHT not in self.whole else ""
            return thought + self.whole
        if not self.calls:
            return (
                f"<think> {self.think or THINK_RESPONSE} </think>\n<response> {self.text.strip()} </response>"
            )
        return f"<think> {self.think or THINK_TOOL} </think>\n{self.calls_block()}"

    def calls_block(self) -> str:
        """The calls as they stand in the gold turn."""
        lines = [
            json.dumps({"name": name, "parameters": dict(arguments)}, ensure_ascii=False)
            for name, arguments in self.calls
        ]
        return "\n".join(("<tool_call>", *lines, "</tool_call>"))


def _told(role: str, text: str) -> str:
    return {"user": user_turn(text), "observation": f"<obs> {text} </obs>"}.get(role, text)


def system_text(tools: Sequence[Tool]) -> str:
    """The system message of ToolRL's prompts, with each parameter's whole schema."""
    entries = []
    for number, tool in enumerate(tools, start=1):
        told = {
            name: {
                "description": schema.get("description", ""),
                "type": schema.get("type", "string"),
                **schema,
            }
            for name, schema in tool.properties.items()
        }
        told = {name: {**schema, "default": schema.get("default", "")} for name, schema in told.items()}
        entry = f"\n{number}. Name: {tool.name}\nDescription: {tool.description}\nParameters: "
        entries.append(entry + json.dumps(told, ensure_ascii=False))
    return SYSTEM_HEAD + "".join(entries) + SYSTEM_TAIL


def tools_of(raw: Any) -> tuple[Tool, ...]:
    """Tools from a list, or its JSON text: OpenAI's form, or xLAM's, whose parameters have no schema around them.

    Raises:
        Refused: it is none.
    """
    listed = decoded(raw, "the tools are no JSON")
    if not isinstance(listed, list) or not listed:
        raise Refused("no tools are offered")
    return tuple(_tool(each) for each in listed)


def _tool(raw: Any) -> Tool:
    told = raw.get("function", raw) if isinstance(raw, Mapping) else None
    if not isinstance(told, Mapping) or not isinstance(told.get("name"), str):
        raise Refused("a tool has no name")
    named = next((told[key] for key in PARAMETERS if told.get(key)), None)
    parameters = {} if named is None else named
    if not isinstance(parameters, Mapping):
        raise Refused("a tool's parameters are no object")
    if isinstance(parameters.get("properties"), Mapping):
        properties, required = parameters["properties"], parameters.get("required") or ()
    else:
        properties = {name: schema for name, schema in parameters.items() if isinstance(schema, Mapping)}
        required = [name for name, schema in properties.items() if _is_required(schema)]
        properties = {name: {**schema, "type": _type(schema)} for name, schema in properties.items()}
    return Tool(told["name"], str(told.get("description", "")), properties, tuple(map(str, required)))


def _is_required(schema: Json) -> bool:
    return "optional" not in str(schema.get("type", "")) and "default" not in schema


def _type(schema: Json) -> str:
    word = str(schema.get("type", "string")).partition(",")[0].partition("[")[0].strip().lower()
    return TYPES.get(word, "string")


def calls_of(raw: Any) -> tuple[tuple[str, Json], ...]:
    """Calls from a list, one call, or the JSON text of either; arguments under `arguments` or `parameters`.

    Raises:
        Refused: it is none.
    """
    listed = decoded(raw, "the calls are no JSON")
    found = []
    for each in [listed] if isinstance(listed, Mapping) else listed if isinstance(listed, list) else [None]:
        told = each.get("function", each) if isinstance(each, Mapping) else None
        told = told if isinstance(told, Mapping) else {}
        arguments = told.get("arguments", told.get("parameters"))
        if isinstance(arguments, str):
            arguments = decoded(arguments, "the arguments of a call are no JSON")
        if not isinstance(told.get("name"), str) or not isinstance(arguments, Mapping):
            raise Refused("a call has no name, or no object of arguments")
        try:
            json.dumps(arguments)
        except (TypeError, ValueError):  # a set or bytes of a Python dict
            raise Refused("the arguments of a call are no JSON") from None
        found.append((told["name"], arguments))
    return tuple(found)


def decoded(raw: Any, why: str) -> Any:
    """A value, or what its JSON text says.

    Raises:
        Refused: the text is no JSON; with this reason.
    """
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise Refused(why) from None
