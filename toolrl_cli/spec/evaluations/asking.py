"""What a benchmark and a model say to each other: questions, answers, and what an item's conversation came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Stop = Literal["stop", "length"]


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    Attributes:
        id: unique in the benchmark.
        category: the column that it counts for, beside the overall one.
        messages: what the model is asked, as chat messages; the last is the user's.
        gold: the answer that is wanted, for the benchmark's own judge.
        tools: those that are offered, for who reads the items.
    """

    id: str
    category: str
    messages: Sequence[Mapping[str, Any]]
    gold: Any = None
    tools: Any = None


def first_of_each(items: Sequence[Item], limit: int | None) -> list[Item]:
    """The first so many items of each category, in order; all for None."""
    seen: Counter[str] = Counter()
    kept = []
    for item in items:
        seen[item.category] += 1
        if limit is None or seen[item.category] <= limit:
            kept.append(item)
    return kept


@dataclass(frozen=True)
class Ask:
    """One question to the model.

    Attributes:
        messages: a dialogue, put through the chat template.
        prompt: the whole prompt as text instead, without a chat template.
        tools: given to the chat template, for models' native function calling.
        stop: texts that an answer ends before.
        max_tokens: of the answer; None for the evaluation's.
    """

    messages: Sequence[Mapping[str, Any]] = ()
    prompt: str | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    stop: Sequence[str] = ()
    max_tokens: int | None = None


@dataclass(frozen=True)
class Answer:
    """What the model said.

    Attributes:
        text: its turn, tags kept, without the end-of-turn token.
        stop: `length` where it was cut at the limit.
        prompt_tokens, tokens: of the prompt and of the answer, where they are known.
    """

    text: str
    stop: Stop = "stop"
    prompt_tokens: int | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class Reply:
    """What an item's conversation came to; all of it is JSON.

    Attributes:
        output: shown to people, and judged.
        record: what else the judge needs.
        stop: `length` where any answer was cut.
    """

    output: str
    record: Mapping[str, Any] = field(default_factory=dict)
    stop: str = "stop"


@dataclass(frozen=True)
class NotRun:
    """An item that could not be run, which has no verdict.

    Attributes:
        why: in a few words.
        hint: what to do, such as which key to raise.
        owed: whether the same question may be answered another time, so that it is to be asked again.
    """

    why: str = ""
    hint: str = ""
    owed: bool = False


class CannotRun(Exception):
    """Raised in a conversation: its item cannot be run, and has no verdict."""


@dataclass(frozen=True)
class EvaluationContext:
    """What a benchmark may know of the evaluation that asks.

    Attributes:
        results: the results root.
        seed: of what is drawn.
        stop_requested: whether the evaluation was asked to stop.
    """

    results: Path = Path()
    seed: int = 0
    stop_requested: Callable[[], bool] = lambda: False


class Session:
    """Conversations about a benchmark's items, many of which are open at once."""

    def converse(self, item: Item) -> Generator[Ask, Answer, Reply]:
        """Lead the conversation about an item; by default its messages are the only question.

        Raises:
            CannotRun: the item cannot be run.
        """
        answer = yield Ask(item.messages)
        return Reply(answer.text, stop=answer.stop)


@dataclass(frozen=True)
class Verdict:
    """What a benchmark says of one reply.

    Attributes:
        reason: what is wrong with it, in a few words; empty where it is right.
        calls: the tool calls that were read in it.
        also: each of the benchmark's further rules → whether the answer is right by it.
    """

    reason: str = ""
    calls: Sequence[Mapping[str, Any]] = field(default=())
    also: Mapping[str, bool] = field(default_factory=dict)

    @property
    def correct(self) -> bool:
        """Whether it is right."""
        return not self.reason


@dataclass(frozen=True)
class Metric:
    """One column.

    Attributes:
        value: a share in [0, 1] unless the benchmark counts something; None where there is none.
        correct, total: counts behind a share; None for a mean of means.
        why: why there is no value.
    """

    value: float | None
    correct: int | None = None
    total: int | None = None
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """The entry of `scores.json`."""
        told = {"why": self.why} if self.why else {}
        return {"value": self.value, "correct": self.correct, "total": self.total, **told}
