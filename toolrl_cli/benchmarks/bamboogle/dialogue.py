"""One question of Bamboogle as a dialogue with a search tool: the released prompts and rules.

Source: github.com/qiancheng0/ToolRL at 8cee13e, `benchmarks/Bamboogle/generate.py` (Apache-2.0). The fixed sentences
are part of the protocol and must not be changed. What its rules come to:

- Up to four answers are asked for; each time the whole dialogue is one user message.
- An answer with `<tool_call>` is a search, whatever else it has: the first line of its first block is read as a Python
  literal, and its `parameters.query` is searched for. Further calls are not answered.
- A call that cannot be read adds nothing to the dialogue, and costs a round.
- Otherwise the text of `<response>` is the answer; without one, what follows `</think>`, or all of it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from toolrl_cli.datasets.rlla_format import HISTORY_HEAD, Parameter, Tool, system_prompt
from toolrl_cli.spec.evaluations.asking import Answer, Ask

ROUNDS = 4
SEARCH = Tool(
    "Search",
    "Search the answer for a specific query leveraging the google search engine",
    (Parameter("query", "The query to search for."),),
)
SYSTEM = system_prompt([SEARCH]) + "\n"
ASK = (
    "\nPerform tool call if you are not sure about the answer. Make a plan to solve the problem step by step."
)
GO_ON = (
    "Please continue to search if needed. If you can obtain the answer, please do not call any tool and directly "
    "provide a succinct answer in the response."
)
NO_MORE = "Do not make tool call any more. Please directly provide a succinct answer in your next response."
FOUND = "Search results for the first tool call query:\n"
LONGEST_CALL = 20_000
"""Characters of a call; a longer one is not read."""
DEEPEST_CALL = 50

Search = Callable[[str], str]
"""Query → the results as the model is shown them."""


@dataclass(frozen=True)
class Dialogue:
    """How a question was answered.

    Attributes:
        predicted: the answer; None where no round gave one.
        searches: the queries, in order.
        turns: what the model said, in order.
        cut: whether any of it was cut at the limit on tokens.
    """

    predicted: str | None
    searches: tuple[str, ...]
    turns: tuple[str, ...]
    cut: bool

    def to_json(self) -> dict[str, Any]:
        """As it is kept with an answer."""
        return {"predicted": self.predicted, "searches": list(self.searches), "turns": list(self.turns)}


def first_messages(question: str) -> list[dict[str, str]]:
    """What the model is asked first."""
    return _messages([f"<user> {question}{ASK} </user>\n\n"])


def ask(question: str, search: Search) -> Generator[Ask, Answer, Dialogue]:
    """Ask a question; each `Ask` is one round.

    Args:
        question: as in the data.
        search: answers the model's searches; what it raises ends the dialogue.
    """
    history = [f"<user> {question}{ASK} </user>\n\n"]
    searches: list[str] = []
    turns: list[str] = []
    cut = False
    for round_ in range(1, ROUNDS + 1):
        answer = yield Ask(messages=_messages(history))
        text = answer.text.strip()
        turns.append(answer.text)
        cut = cut or answer.stop == "length"
        if "<tool_call>" not in text:
            return Dialogue(_response(text), tuple(searches), tuple(turns), cut)
        call = _first_call(text)
        if call is None:
            continue
        results = search(call["parameters"]["query"]).strip()
        searches.append(call["parameters"]["query"])
        history += [
            f"<think> {_thought(text)} </think>\n<tool_call>\n{call}\n</tool_call>\n",
            f"<obs> {FOUND}{results} </obs>\n\n",
            f"<user> {GO_ON if round_ < ROUNDS - 1 else NO_MORE} </user>\n\n",
        ]
    return Dialogue(None, tuple(searches), tuple(turns), cut)


def _messages(history: list[str]) -> list[dict[str, str]]:
    user = (HISTORY_HEAD + "".join(history)).strip()
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]


def _response(text: str) -> str:
    if "<response>" in text:
        return text.split("<response>")[1].split("</response>")[0].strip()
    return text.split("</think>")[1].strip() if "</think>" in text else text


def _thought(text: str) -> str:
    if "<think>" in text:
        return text.split("<think>")[1].split("</think>")[0].strip()
    return text.split("<tool_call>")[0].strip()


def _first_call(text: str) -> dict[str, Any] | None:
    """The first call, whose query is text; None where it cannot be read."""
    line = text.split("<tool_call>")[1].split("</tool_call>")[0].strip().split("\n")[0]
    if len(line) > LONGEST_CALL or sum(map(line.count, "([{")) > DEEPEST_CALL:
        return None
    try:
        call = ast.literal_eval(line)
        query = call["parameters"]["query"]
    except (ValueError, SyntaxError, TypeError, KeyError, IndexError, RecursionError, MemoryError):
        return None
    return call if isinstance(call, dict) and isinstance(query, str) else None
