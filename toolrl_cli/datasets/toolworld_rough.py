"""Adds faults to the gold answers of the base split, seeded and at stated rates.

A base model trained on clean answers would leave RL nothing to improve. The first two faults are more frequent
than the right answer in their situation, so that a base model that decodes greedily makes them, while sampling
still gives the right answer often enough for RL to learn from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolrl_cli.datasets import rlla_format
from toolrl_cli.datasets import toolworld_words as words
from toolrl_cli.datasets.rlla_format import Call
from toolrl_cli.datasets.toolworld_scenes import Scene
from toolrl_cli.datasets.toolworld_stream import Stream


@dataclass(frozen=True)
class Roughness:
    """Rate of each fault among the rows where it is possible, in [0, 1].

    Attributes:
        second_call_missing: of two parallel calls only the first is made.
        stray_call: a tool is called where none fits or nothing is left to do.
        parameter_missing: a call with two parameters or more lacks its last one.
        wrong_value: one argument is another value of its kind.
        tag_missing: `</think>` or `</tool_call>` (`</response>`) is left out.
    """

    second_call_missing: float
    stray_call: float
    parameter_missing: float
    wrong_value: float
    tag_missing: float


ROUGHNESS = Roughness(
    second_call_missing=0.6, stray_call=0.6, parameter_missing=0.25, wrong_value=0.05, tag_missing=0.1
)


def roughen(scene: Scene, stream: Stream, rates: Roughness) -> str:
    """An answer to `scene` with random faults at `rates`."""
    calls = list(scene.calls)
    if not calls and stream.chance(rates.stray_call):
        calls = list(scene.stray_calls)
    if len(calls) > 1 and stream.chance(rates.second_call_missing):
        calls = calls[:1]
    calls = [_rough_call(call, stream, rates) for call in calls]
    answer = rlla_format.call_answer(calls) if calls else rlla_format.response_answer(scene.response)
    if stream.chance(rates.tag_missing):
        closing = stream.pick((" </think>", "\n</tool_call>" if calls else " </response>"))
        answer = answer.replace(closing, "")
    return answer


def _rough_call(call: Call, stream: Stream, rates: Roughness) -> Call:
    parameters = dict(call.parameters)
    if len(parameters) > 1 and stream.chance(rates.parameter_missing):
        parameters.popitem()
    if parameters and stream.chance(rates.wrong_value):
        name = stream.pick(list(parameters))
        slot = next((s for s in words.SLOTS.values() if name in s.aliases), None)
        if slot is not None:
            parameters[name] = stream.pick(slot.values)
    return replace(call, parameters=parameters)
