"""How BFCL's questions are put to a model: ToolRL's prompt, and the chat template's own.

ToolRL's is that of its handler (github.com/qiancheng0/ToolRL at 8cee13e, benchmarks/BFCL/rlla_qwen.py, Apache-2.0); the
fixed sentences, their slips included, are part of the format and must not be changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from toolrl_cli.datasets.rlla_format import HISTORY_HEAD, SYSTEM_HEAD, SYSTEM_TAIL

Message = Mapping[str, Any]

ONE_TURN = (
    "If there's no appropriate tools to apply or required parameters are missing, please directly inform me in your "
    "response without any tool call, or call the tool with the name as 'None'. Otherwise, you should use one or more "
    "necessary tool calls to complete the given task in this turn."
)
SEVERAL_TURNS = (
    "Use the one or more necessary tool calls to complete the task. You could perform tool calls for multiple rounds "
    "so you can try and error. Please make a comprehensive plan about how to achieve the goal step by step, and begin "
    "to call the tool step by step. If no tools apply or required parameters are missing, please also directly state "
    "this in your response without tool calls."
)
AFTER_RESULTS = (
    "If you think you have completed the current task, or the task cannot be finished, please respond directly without "
    "additional tool calls. If you encounter an error during tool execution or the task remains unfinished, retry with "
    "the one or more necessary tool calls according to your thought and plan until completion. Based on the tool "
    "execution feedback, reflect on if understanding or selectioin of tool is wrong, what tool calling step is "
    "missing, and how to achieve the task goal from now on."
)


def rlla_messages(
    messages: Sequence[Message], tools: Sequence[Message], *, several_turns: bool
) -> list[Message]:
    """A dialogue as one system message with the tools and one user message with all that was said.

    Args:
        messages: of roles `user`, `assistant` and `tool` (with `name`, the call); those of role `system` are left out.
        tools: upstream's documents.
        several_turns: whether the item is of a multi-turn category.
    """
    listed = "\n".join(
        f"{number}. Name: {tool['name']}\nDescription: {tool['description']}\n"
        f"Parameters: {json.dumps(tool['parameters'].get('properties', {}))}"
        for number, tool in enumerate(tools, start=1)
    )
    advice = SEVERAL_TURNS if several_turns else ONE_TURN
    parts = [HISTORY_HEAD]
    for message in messages:
        content = message["content"].strip()
        if message["role"] == "user":
            parts.append(f"<user> {content}\n{advice} </user>\n")
        elif message["role"] == "assistant":
            parts.append(f"\n{content}\n")
        elif message["role"] == "tool":
            call = message["name"].strip()
            parts.append(f"<obs> You have made the tool call {call}. Execution returns: {content} </obs>\n")
    if messages and messages[-1]["role"] == "tool":
        parts.append(f"\n<user> {AFTER_RESULTS} </user>\n")
    return [
        {"role": "system", "content": f"{SYSTEM_HEAD}\n{listed}{SYSTEM_TAIL}\n"},
        {"role": "user", "content": "".join(parts).strip()},
    ]
