"""Reads an assistant's turn: its fields, their order, and the tool calls in it.

Parsing uses `str.find` and no backtracking pattern, so that any completion is read in time linear in its length.
The rules are those of the released scorer (ToolRL 8cee13e).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from toolrl_cli.rewards.errors import RewardError, shown

TURN_START, TURN_END = "<|im_start|>assistant", "<|im_end|>"
LLAMA_START, LLAMA_END = "<|start_header_id|>assistant<|end_header_id|>", "<|eot_id|>"
THINK, THINK_END = "<think>", "</think>"
CALL, CALL_END = "<tool_call>", "</tool_call>"
RESPONSE, RESPONSE_END = "<response>", "</response>"

THINK_CALL = f"{THINK_END}\n{CALL}\n"
THINK_RESPONSE = f"{THINK_END}\n{RESPONSE}"
CALL_RESPONSE = f"\n{CALL_END}\n{RESPONSE}"
LAST_CALL = f"\n{CALL_END}"

# What parsing text as calls can raise. ValueError: not JSON, or an integer of too many digits; RecursionError:
# brackets nested deeper than the interpreter allows.
UNREADABLE = (ValueError, RecursionError)
_decode = json.JSONDecoder().raw_decode


def assistant_turn(completion: str) -> str:
    """The text between the last turn start and the turn end, without surrounding white space.

    The marks are ChatML's, or Llama 3's in a text without ChatML's: the released scorer cuts at those of the model.
    """
    if "|" in completion:  # one character is found ten times as fast as a mark
        if "<|im_" in completion:
            completion = completion.rpartition(TURN_START)[2].partition(TURN_END)[0]
        else:
            completion = completion.rpartition(LLAMA_START)[2].partition(LLAMA_END)[0]
    return completion.strip()


def format_holds(turn: str, wants_call: bool, wants_response: bool) -> bool:
    """Whether the turn has exactly the fields its ground truth has, once each and in order.

    As in the released scorer, `<think>` may repeat inside itself, and a field that the ground truth lacks is
    accepted unless the required order rules it out.
    """
    if not turn.startswith(THINK):
        return False
    if not wants_call and not wants_response:
        return turn.endswith(THINK_END)
    body = len(THINK)
    if wants_call:
        at = turn.find(THINK_CALL, body)
        if at < 0 or turn.count(CALL) != 1 or turn.count(CALL_END) != 1:
            return False
        body = at + len(THINK_CALL)
        if not wants_response:
            return turn.endswith(LAST_CALL) and len(turn) - len(LAST_CALL) >= body
    opening = CALL_RESPONSE if wants_call else THINK_RESPONSE
    at = turn.find(opening, body)
    return (
        at >= 0
        and turn.endswith(RESPONSE_END)
        and len(turn) - len(RESPONSE_END) >= at + len(opening)
        and turn.count(RESPONSE) == 1
        and turn.count(RESPONSE_END) == 1
    )


def fields_in_order(turn: str, wants_call: bool, wants_response: bool, text_between: bool) -> bool:
    """Whether the turn begins with a thought and has the fields that its ground truth has, once each and in order.

    Args:
        text_between: any text may stand between and after the fields, but no field that the ground truth lacks; else
            only white space may.
    """
    wanted = [(THINK, THINK_END)]
    wanted += [(CALL, CALL_END)] if wants_call else []
    wanted += [(RESPONSE, RESPONSE_END)] if wants_response else []
    at = 0
    for opening, closing in wanted:
        begin = turn.find(opening, at)
        end = turn.find(closing, begin + len(opening)) if begin >= 0 else -1
        if end < 0 or (turn[at:begin].strip() and not text_between):
            return False
        at = end + len(closing)
    if turn[at:].strip() and not text_between:
        return False
    once = all(turn.count(tag) == 1 for pair in wanted[1:] for tag in pair)
    lacking = [] if wants_response else [RESPONSE]
    return once and not any(tag in turn for tag in lacking + ([] if wants_call else [CALL]))


def call_block(turn: str) -> str | None:
    """Text of the first `<tool_call>` block; None unless both tags occur somewhere in the turn.

    A block ends at its closing tag or at the next opening tag, whichever comes first, or at the end of the turn.
    """
    before, opened, rest = turn.partition(CALL)
    block, closed, _ = rest.partition(CALL_END)
    if not opened or not (closed or CALL_END in before):
        return None
    return block.partition(CALL)[0]


def read_calls(block: str) -> list[Any]:
    """The calls of a block, one JSON value a line; equals `json.loads` of each line at half the cost.

    Raises:
        ValueError, RecursionError: some line is not JSON (an empty line between calls is not).
    """
    calls = []
    for line in block.strip().split("\n"):
        text = line.strip(" \t\r")
        value, end = _decode(text)
        if end != len(text):
            raise ValueError(f"text after the JSON value at character {end}")
        calls.append(value)
    return calls


def block_problem(block: str) -> str:
    """Why `read_calls` refuses a block: the first line that is not JSON, and what is wrong with it."""
    for number, line in enumerate(block.strip().split("\n"), start=1):
        try:
            json.loads(line)
        except UNREADABLE as fault:
            reason = "nested too deep" if isinstance(fault, RecursionError) else str(fault)
            return f"line {number} is not JSON: {shown(line)}: {reason}"
    return ""


def think_words(turn: str) -> int | None:
    """White-space separated words of the last think block; None when a think tag is missing."""
    begin = turn.rfind(THINK)
    if begin < 0:
        return None
    begin += len(THINK)
    end = turn.find(THINK_END, begin)
    if end < 0 and THINK_END not in turn:
        return None
    return len(turn[begin : end if end >= 0 else None].split())


@dataclass(frozen=True, eq=False)
class Truth:
    """A parsed ground truth, shared by all completions that are scored against it.

    Attributes:
        text: as given.
        block: text of its tool_call block; empty when no call is wanted.
        wants_call, wants_response: which fields a completion must have.
        calls: the calls as parsed JSON; empty when no call is wanted.
        names: name of each call; None when a call has none, and then only an exact answer earns anything.
        name_counts: how often each name is called; None when a name cannot be counted (a list, an object).
        parameters: what each call has under `parameters`; None when a call has none.
        full_terms: S_max of the original granularity, 1 + calls + parameters; None when it has none.
    """

    text: str
    block: str
    wants_call: bool
    wants_response: bool
    calls: list[Any]
    names: list[Any] | None
    name_counts: dict[Any, int] | None
    parameters: list[Any] | None
    full_terms: int | None


@lru_cache(maxsize=4096)
def read_truth(ground_truth: str) -> Truth:
    """Reads a ground truth.

    Raises:
        RewardError: it has a tool call and its block is not one JSON value a line. That is a fault in the data;
            the released scorer raises an exception for it in the middle of training.
    """
    wants_call, wants_response = CALL in ground_truth, RESPONSE in ground_truth
    block, calls = "", list[Any]()
    if wants_call:
        # unlike in a completion, the closing tag may be missing
        block = ground_truth.split(CALL, 2)[1].split(CALL_END, 1)[0]
        try:
            calls = read_calls(block)
        except UNREADABLE as fault:
            raise RewardError(
                f"its tool calls are not one JSON value a line: {block_problem(block)}",
                "ground truth",
                "correct the row or leave it out",
                ground_truth=ground_truth,
            ) from fault
    named = all(isinstance(call, dict) and "name" in call for call in calls)
    names = [call["name"] for call in calls] if named else None
    parameters = None
    if named and all("parameters" in call for call in calls):
        parameters = [call["parameters"] for call in calls]
    sized = parameters is not None and all(isinstance(p, (dict, list, str)) for p in parameters)
    return Truth(
        text=ground_truth,
        block=block,
        wants_call=wants_call,
        wants_response=wants_response,
        calls=calls,
        names=names,
        name_counts=_count(names),
        parameters=parameters,
        full_terms=1 + len(calls) + sum(map(len, parameters or ())) if sized else None,
    )


def unmatchable(calls: list[Any], *, whole: bool = False) -> str:
    """Why no answer but an exact copy of these gold calls can earn anything; empty where a part of them can.

    Args:
        calls: of a ground truth.
        whole: calls are compared as a whole, and `parameters` may be anything; else one parameter by one.
    """
    for position, call in enumerate(calls):
        told = f"call {position} has no object `parameters`"
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            nested = isinstance(call, dict) and isinstance(call.get("function"), dict)
            return f"{told}, but OpenAI's nested `function`" if nested else f"call {position} has no `name`"
        if isinstance(call.get("parameters"), dict) or (whole and "parameters" in call):
            continue
        if "parameters" in call:
            kind = "text" if isinstance(call["parameters"], str) else type(call["parameters"]).__name__
            return f"{told}: they are {kind}"
        return f"{told}, but `arguments`" if "arguments" in call else told
    return ""


def _count(names: list[Any] | None) -> dict[Any, int] | None:
    try:
        return None if names is None else Counter(names)
    except TypeError:  # of a list or an object
        return None


_UNREAD: list[Any] = []
NO_ROW: Mapping[str, Any] = {}
GIVEN = "toolrl_given"
"""Under this `extra_info` has the rest of a row's own, as JSON text."""
GROUP = "group"
"""Under this `Reading.memo` tells how many responses to the prompt were scored together."""


def row_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a reward is given of a row, or of a sample: `data_source`, `extra_info`, and the `prompt` as messages.

    All rows of the user's own have one `data_source` for verl's metrics, and their own one in `extra_info`.
    """
    extra = row.get("extra_info")
    if isinstance(extra, Mapping) and isinstance(given := extra.get(GIVEN), str):
        extra = {**{key: value for key, value in extra.items() if key != GIVEN}, **json.loads(given)}
    own = extra.get("data_source") if isinstance(extra, Mapping) else None
    prompt = row.get("raw_prompt", row.get("prompt"))  # verl's dataset renames it
    messages = prompt if prompt is None or isinstance(prompt, str) else [dict(message) for message in prompt]
    return {"data_source": own or row.get("data_source"), "extra_info": extra, "prompt": messages}


class Reading:
    """One completion with its ground truth: the input of every component.

    The calls are parsed once, when a component first asks for them. `tokens` is the length of the response as it was
    generated, None where only its text is known; `row` has what `row_facts` tells of the data's row, where known.
    `memo` holds what components read beside that, and `shares` how far up its range each part is that others refer to.
    `beside` is what users' functions returned beside their values (`Score.beside`).
    """

    __slots__ = (
        "_calls",
        "beside",
        "completion",
        "memo",
        "row",
        "shares",
        "step",
        "tokens",
        "total_steps",
        "truth",
        "turn",
    )

    def __init__(
        self,
        completion: str,
        ground_truth: str,
        step: int = 0,
        total_steps: int | None = None,
        tokens: int | None = None,
        row: Mapping[str, Any] = NO_ROW,
    ) -> None:
        self.completion = completion
        self.truth = read_truth(ground_truth)
        self.turn = assistant_turn(completion)
        self.step = step
        self.total_steps = total_steps
        self.tokens = tokens
        self.row = row
        self.memo: dict[Hashable, Any] = {}
        self.shares: dict[str, float] = {}
        self.beside: dict[str, float | str] = {}
        self._calls: list[Any] | None = _UNREAD

    @property
    def calls(self) -> list[Any] | None:
        """The calls of the first block; None when there is no block or some line of it is not JSON."""
        if self._calls is _UNREAD:
            block = call_block(self.turn)
            if block is None:
                self._calls = None
            elif block == self.truth.block:  # the usual case late in training; it needs no parsing
                self._calls = self.truth.calls
            else:
                try:
                    self._calls = read_calls(block)
                except UNREADABLE:
                    self._calls = None
        return self._calls

    def fresh_calls(self) -> list[Any] | None:
        """The calls parsed again, for a caller that may change them."""
        block = call_block(self.turn)
        return None if block is None or self.calls is None else read_calls(block)

    @property
    def tries_call(self) -> bool:
        """Whether the turn has an opening tool_call tag, whether or not its calls can be read."""
        return CALL in self.turn
