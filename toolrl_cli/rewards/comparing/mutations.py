"""Gold answers with one thing changed: what a model gets wrong, one mistake at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolrl_cli.rewards.calls.compare import wanted_calls
from toolrl_cli.rewards.calls.style import Call, Style
from toolrl_cli.rewards.reading import RESPONSE, RESPONSE_END, THINK, THINK_END, read_truth

RIGHT = ("gold", "other_thought", "swapped_calls")
"""Changes that leave the answer right; the order of calls does, where they stand in one turn."""
OTHER_TOOL = "some_other_tool"


@dataclass(frozen=True)
class Mutation:
    """A completion that differs from the gold answer in one way.

    Attributes:
        name: the way.
        text: the completion.
        right: whether it still answers as the gold turn does.
    """

    name: str
    text: str
    right: bool


def mutations(ground_truth: str, style: Style) -> Iterator[Mutation]:
    """A gold answer and its changes, with calls written in a style; those that do not apply to it are left out.

    Raises:
        RewardError: the gold turn's calls cannot be read.
    """
    truth = read_truth(ground_truth)
    calls = wanted_calls(truth)
    bare = style.block == "whole"  # JSON and nothing else
    think = "" if bare else f"{THINK}{_inside(ground_truth, THINK, THINK_END) or ' t '}{THINK_END}"
    said = f"{RESPONSE} {_inside(ground_truth, RESPONSE, RESPONSE_END).strip() or 'Done.'} {RESPONSE_END}"

    def turn(*parts: str) -> str:
        return "\n".join(part for part in parts if part)

    def call(changed: tuple[Call, ...]) -> str:
        return turn(think, style.write(changed), said if truth.wants_response else "")

    found: dict[str, str] = {}
    if calls:
        found["gold"] = call(calls)
        found |= {
            name: call(changed) for name, change in CHANGES.items() if (changed := change(calls)) is not None
        }
        found["no_call"] = turn(think, said)
        found["broken_json"] = found["gold"].replace("}", "", 1)
        found["cut"] = found["gold"][: len(think) + (len(found["gold"]) - len(think)) * 2 // 3]
        found["text_around"] = turn("Here is the call:", found["gold"])
        found["nothing"] = think
    else:
        found["gold"] = turn(think, said)
        found["called_anyway"] = turn(think, style.write((Call(OTHER_TOOL, {}),)), said)
        found["nothing"] = think
    if think:
        found["other_thought"] = found["gold"].replace(
            think, f"{THINK} Let me see what is asked. {THINK_END}"
        )
        found["no_thought"] = found["gold"].removeprefix(think).lstrip("\n")
    for name, text in found.items():
        yield Mutation(name, text, name in RIGHT)


def _inside(text: str, opening: str, closing: str) -> str:
    return text.partition(opening)[2].partition(closing)[0]


def _with(calls: tuple[Call, ...], at: int, call: Call) -> tuple[Call, ...]:
    return (*calls[:at], call, *calls[at + 1 :])


def _first_argument(
    change: Callable[[dict[str, Any], str], dict[str, Any]],
) -> Callable[[tuple[Call, ...]], tuple[Call, ...] | None]:
    def changed(calls: tuple[Call, ...]) -> tuple[Call, ...] | None:
        at = next((n for n, call in enumerate(calls) if call.arguments), None)
        if at is None:
            return None
        key = next(iter(calls[at].arguments))
        return _with(calls, at, Call(calls[at].name, change(dict(calls[at].arguments), key)))

    return changed


def _other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return f"{value}x" if isinstance(value, str) else [] if value else "x"


CHANGES: Mapping[str, Callable[[tuple[Call, ...]], tuple[Call, ...] | None]] = {
    "wrong_value": _first_argument(lambda arguments, key: {**arguments, key: _other(arguments[key])}),
    "missing_parameter": _first_argument(
        lambda arguments, key: {k: v for k, v in arguments.items() if k != key}
    ),
    "extra_parameter": lambda calls: _with(
        calls, 0, Call(calls[0].name, {**calls[0].arguments, "extra": "x"})
    ),
    "wrong_tool": lambda calls: _with(calls, 0, Call(OTHER_TOOL, calls[0].arguments)),
    "extra_call": lambda calls: (*calls, Call(OTHER_TOOL, {})),
    "repeated_call": lambda calls: (*calls, calls[-1]),
    "missing_call": lambda calls: calls[:-1] if len(calls) > 1 else None,
    "swapped_calls": lambda calls: calls[::-1] if len(calls) > 1 and calls[0] != calls[-1] else None,
}
