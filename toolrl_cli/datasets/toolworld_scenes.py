"""Scenes of ToolWorld: available tools, a dialogue, and the calls or the text that answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from toolrl_cli.datasets import rlla_format
from toolrl_cli.datasets import toolworld_words as words
from toolrl_cli.datasets.rlla_format import Call, Parameter, Tool
from toolrl_cli.datasets.toolworld_stream import Stream

Kind = Literal["call", "after_obs", "parallel", "no_tool", "chat", "done"]
Pair = tuple[str, str]

_ALL_PAIRS: tuple[Pair, ...] = tuple((verb, noun) for verb in words.VERBS for noun in words.NOUNS)
_SEEN = tuple(pair for pair in _ALL_PAIRS if pair not in words.UNSEEN_TOOLS)
_UNSEEN = tuple(pair for pair in _ALL_PAIRS if pair in words.UNSEEN_TOOLS)


@dataclass(frozen=True)
class Scene:
    """One turn to be answered.

    Attributes:
        tools: the tools of the system prompt, in their order.
        user: the user message.
        calls: the gold calls; empty where the answer is `response`.
        response: the gold response; empty where the answer is `calls`.
        stray_calls: wrong calls for `toolworld_rough`, as by someone who always calls a tool: the first tool with
            the values that were said, or the call that was made before.
    """

    tools: tuple[Tool, ...]
    user: str
    calls: tuple[Call, ...] = ()
    response: str = ""
    stray_calls: tuple[Call, ...] = ()

    @property
    def system(self) -> str:
        """The system message."""
        return rlla_format.system_prompt(self.tools)

    @property
    def answer(self) -> str:
        """The gold answer."""
        if self.calls:
            return rlla_format.call_answer(self.calls)
        return rlla_format.response_answer(self.response)


@dataclass(frozen=True)
class _Entry:
    """A tool with the slot of each of its parameters."""

    pair: Pair
    tool: Tool
    slots: Mapping[str, str]  # slot → parameter name

    def call(self, values: Mapping[str, str]) -> Call:
        """A call with those parameters that have a value."""
        return Call(
            self.tool.name, {name: values[slot] for slot, name in self.slots.items() if slot in values}
        )


class _Table:
    """The tools of one scene: their parameter names, and the (verb, noun) pairs in use."""

    def __init__(self, stream: Stream, unseen: bool) -> None:
        self._stream = stream
        self._separator = stream.pick(words.SEPARATORS)
        self._names = {slot: _alias(spec, stream) for slot, spec in words.SLOTS.items()}
        self.reference_name = _alias(words.REFERENCE, stream)
        self._pool = _ALL_PAIRS if unseen else _SEEN
        self._targets = _UNSEEN if unseen else _SEEN
        self.entries: list[_Entry] = []

    def target_pair(self) -> Pair:
        return self._stream.pick(self._targets)

    def add(self, pair: Pair, *, reference: bool = False) -> _Entry:
        stream = self._stream
        slots = stream.sample(list(words.SLOTS), stream.weighted(((1, 3), (2, 4), (3, 2))) - int(reference))
        names = {slot: self._names[slot] for slot in slots}
        parameters = [_parameter(names[slot], words.SLOTS[slot]) for slot in slots]
        if reference:
            names = {"reference": self.reference_name, **names}
            parameters.insert(0, _parameter(self.reference_name, words.REFERENCE))
        verb, noun = pair
        tool = Tool(
            f"{verb}{self._separator}{noun}",
            f"{words.DESCRIPTION_LEAD}{verb}{words.ARTICLE}{noun}.",
            tuple(parameters),
        )
        entry = _Entry(pair, tool, names)
        self.entries.append(entry)
        return entry

    def other_verb(self, pair: Pair) -> Pair:
        """A tool with the same noun and another verb."""
        return self._stream.pick([other for other in self._pool if other[1] == pair[1] and other != pair])

    def add_others(self, targets: Sequence[Pair], count: int) -> None:
        """Add `count` tools that are not targets; most share the verb or the noun of a target."""
        stream = self._stream
        taken = {entry.pair for entry in self.entries} | set(targets)
        while count:
            verb, noun = stream.pick(targets)
            near = stream.below(3)
            pair = (
                verb if near == 1 else stream.pick(words.VERBS),
                noun if near == 2 else stream.pick(words.NOUNS),
            )
            if pair in taken or pair not in self._pool:
                continue
            taken.add(pair)
            self.add(pair)
            count -= 1

    def tools(self) -> tuple[Tool, ...]:
        """All tools; shuffles them."""
        self.entries = self._stream.shuffled(self.entries)
        return tuple(entry.tool for entry in self.entries)


def draw_scene(kind: Kind, stream: Stream, *, unseen: bool = False) -> Scene:
    """Draw a scene of a kind.

    Args:
        kind: see `toolworld`.
        stream: the source of randomness.
        unseen: take the tools that answer the turn from `words.UNSEEN_TOOLS`.
    """
    table = _Table(stream, unseen)
    if kind == "parallel":
        return _parallel(table, stream)
    if kind == "no_tool":
        return _no_tool(table, stream)
    if kind == "chat":
        return _chat(table, stream)
    first = table.target_pair()
    if kind == "call":
        entry = table.add(first)
        values = _values(entry, stream)
        table.add_others([first], 1 + stream.below(2))
        user = [_user(stream, _request(entry, values))]
        return Scene(table.tools(), rlla_format.history(user), (entry.call(values),))
    if kind == "after_obs":
        return _after_obs(table, first, stream)
    return _done(table, first, stream)


def _parallel(table: _Table, stream: Stream) -> Scene:
    first = table.target_pair()
    entries = [table.add(first)]
    if stream.chance(0.25):
        entries.append(entries[0])
    else:
        second = table.target_pair()
        while second == first:
            second = table.target_pair()
        entries.append(table.add(second))
    values = [_values(entry, stream) for entry in entries]
    while entries[0] is entries[1] and values[0] == values[1]:
        values[1] = _values(entries[1], stream)
    table.add_others([entry.pair for entry in entries], stream.below(2) + (entries[0] is entries[1]))
    text = words.AND.join(_request(entry, value) for entry, value in zip(entries, values, strict=True))
    calls = tuple(entry.call(value) for entry, value in zip(entries, values, strict=True))
    return Scene(table.tools(), rlla_format.history([_user(stream, text)]), calls)


def _after_obs(table: _Table, second: Pair, stream: Stream) -> Scene:
    """ "Find a hotel in Paris and then book it": the first call is done, the second needs the id it gave."""
    entry = table.add(table.other_verb(second))
    target = table.add(second, reference=True)
    values = _values(entry, stream)
    reference = _reference(stream)
    target_values = {**_values(target, stream), "reference": reference}
    table.add_others([second], stream.below(2))
    spoken = [slot for slot in target.slots if slot != "reference"]
    then = words.THEN + second[0] + words.THEN_IT + _spoken(spoken, target_values)
    parts = [
        _user(stream, _request(entry, values) + then),
        *_call_and_result(table, entry, values, reference),
    ]
    return Scene(table.tools(), rlla_format.history(parts), (target.call(target_values),))


def _done(table: _Table, first: Pair, stream: Stream) -> Scene:
    entry = table.add(first)
    values = _values(entry, stream)
    reference = _reference(stream)
    table.add_others([first], 1 + stream.below(3))
    parts = [
        _user(stream, _request(entry, values)),
        *_call_and_result(table, entry, values, reference),
    ]
    return Scene(
        table.tools(),
        rlla_format.history(parts),
        response=f"{words.DONE_LEAD}{reference}.",
        stray_calls=(entry.call(values),),
    )


def _no_tool(table: _Table, stream: Stream) -> Scene:
    wanted = table.target_pair()
    asked = _Table(stream, unseen=False).add(wanted)
    values = _values(asked, stream)
    table.add_others([wanted], 1 + stream.below(3))
    text = _request(asked, values)
    return Scene(
        table.tools(),
        rlla_format.history([_user(stream, text)]),
        response=words.REFUSAL,
        stray_calls=(table.entries[0].call(values),),
    )


def _chat(table: _Table, stream: Stream) -> Scene:
    """Small talk about things that tools have as parameters, without a request."""
    table.add_others([table.target_pair()], 1 + stream.below(3))
    lead = stream.pick(words.CHATTER)
    first = next(slot for slot, spec in words.SLOTS.items() if lead.endswith(spec.lead))
    slots = [first, stream.pick([slot for slot in words.SLOTS if slot != first])]
    values = {slot: stream.pick(words.SLOTS[slot].values) for slot in slots}
    text = lead + values[first] + _spoken(slots[1:], values)
    return Scene(
        table.tools(),
        rlla_format.history([rlla_format.user_turn(text + ".")]),
        response=words.CHAT_REPLY,
        stray_calls=(table.entries[0].call(values),),
    )


def _alias(slot: words.Slot, stream: Stream) -> str:
    usual, *others = slot.aliases
    return usual if stream.chance(words.USUAL_NAME_SHARE) else stream.pick(others)


def _parameter(name: str, slot: words.Slot) -> Parameter:
    return Parameter(name, slot.description, slot.type)


def _values(entry: _Entry, stream: Stream) -> dict[str, str]:
    return {slot: stream.pick(words.SLOTS[slot].values) for slot in entry.slots if slot in words.SLOTS}


def _reference(stream: Stream) -> str:
    return f"{stream.pick(words.REFERENCE_LETTERS)}{stream.below(10)}"


def _request(entry: _Entry, values: Mapping[str, str]) -> str:
    """ "book a hotel in Paris for 4", with the slots in random order."""
    verb, noun = entry.pair
    return f"{verb}{words.ARTICLE}{noun}" + _spoken(list(entry.slots), values)


def _spoken(slots: Sequence[str], values: Mapping[str, str]) -> str:
    return "".join(words.SLOTS[slot].lead + values[slot] for slot in slots)


def _user(stream: Stream, request: str) -> str:
    opener, end = stream.pick(words.OPENERS)
    return rlla_format.user_turn(opener + request + end)


def _call_and_result(table: _Table, entry: _Entry, values: Mapping[str, str], reference: str) -> list[str]:
    return [
        rlla_format.call_answer([entry.call(values)]),
        rlla_format.observation([(entry.tool.name, {table.reference_name: reference})]),
    ]
