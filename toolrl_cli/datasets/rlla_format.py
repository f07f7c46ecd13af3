"""Writes the text format of the rlla data.

System prompt, dialogue history and answer are what ToolRL trains on (github.com/qiancheng0/ToolRL at 8cee13e,
`dataset/rlla_4k`, Apache-2.0); the fixed sentences are part of the format and must not be changed.
`toolrl_cli.rewards.exact_match` parses answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

THINK_TOOL = "I should use the appropriate tool with proper parameters to respond to the user's need."
THINK_RESPONSE = "I should directly respond to the user's need."

SYSTEM_HEAD = (
    "You are a helpful multi-turn dialogue assistant capable of leveraging tool calls to solve user tasks and "
    "provide structured chat responses.\n\n**Available Tools**\nIn your response, you can use the following tools:"
)
SYSTEM_TAIL = """

**Steps for Each Turn**
1. **Think:** Recall relevant context and analyze the current user goal.
2. **Decide on Tool Usage:** If a tool is needed, specify the tool and its parameters.
3. **Respond Appropriately:** If a response is needed, generate one while maintaining consistency across user queries.

**Output Format**
```plaintext
<think> Your thoughts and reasoning </think>
<tool_call>
{"name": "Tool name", "parameters": {"Parameter name": "Parameter content", "... ...": "... ..."}}
{"name": "... ...", "parameters": {"... ...": "... ...", "... ...": "... ..."}}
...
</tool_call>
<response> AI's final response </response>
```

**Important Notes**
1. You must always include the `<think>` field to outline your reasoning. Provide at least one of `<tool_call>` or \
`<response>`. Decide whether to use `<tool_call>` (possibly multiple times), `<response>`, or both.
2. You can invoke multiple tool calls simultaneously in the `<tool_call>` fields. Each tool call should be a JSON \
object with a "name" field and an "parameters" field containing a dictionary of parameters. If no parameters are \
needed, leave the "parameters" field an empty dictionary.
3. Refer to the previous dialogue records in the history, including the user's queries, previous `<tool_call>`, \
`<response>`, and any tool feedback noted as `<obs>` (if exists)."""
HISTORY_HEAD = "**Dialogue Records History**\n"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a tool as the system prompt shows it."""

    name: str
    description: str
    type: str = "string"
    default: str = ""


@dataclass(frozen=True)
class Tool:
    """One tool as the system prompt shows it."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Call:
    """One tool call; values are strings, as in the rlla ground truths."""

    name: str
    parameters: Mapping[str, str]


def system_prompt(tools: Sequence[Tool]) -> str:
    """The system message for `tools`, numbered from 1."""
    entries = []
    for number, tool in enumerate(tools, start=1):
        schema = {
            p.name: {"description": p.description, "type": p.type, "default": p.default}
            for p in tool.parameters
        }
        entries.append(
            f"\n{number}. Name: {tool.name}\nDescription: {tool.description}\nParameters: {json.dumps(schema)}"
        )
    return SYSTEM_HEAD + "".join(entries) + SYSTEM_TAIL


def user_turn(text: str) -> str:
    """A user's message inside the dialogue history."""
    return f"<user> {text} </user>"


def observation(results: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """The results of tool calls: (tool name, result) pairs inside `<obs>`."""
    return f"<obs> {json.dumps([{'name': name, 'results': dict(result)} for name, result in results])} </obs>"


def history(parts: Sequence[str]) -> str:
    """The user message: the dialogue so far; an observation follows its calls on the next line."""
    text = HISTORY_HEAD + parts[0]
    for part in parts[1:]:
        text += ("\n" if part.startswith("<obs>") else "\n\n") + part
    return text


def call_answer(calls: Sequence[Call]) -> str:
    """An assistant turn that calls tools, one JSON object a line."""
    lines = "\n".join(
        json.dumps({"name": call.name, "parameters": dict(call.parameters)}, ensure_ascii=False)
        for call in calls
    )
    return f"<think> {THINK_TOOL} </think>\n<tool_call>\n{lines}\n</tool_call>"


def response_answer(text: str) -> str:
    """An assistant turn that answers in words."""
    return f"<think> {THINK_RESPONSE} </think>\n<response> {text} </response>"
