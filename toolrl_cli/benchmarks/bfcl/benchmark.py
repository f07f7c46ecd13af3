"""BFCL as a benchmark: items and verdicts of bfcl-eval, conversations led by it, columns from its counts."""

from __future__ import annotations

import copy
import json
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from toolrl_cli.benchmarks.bfcl import columns
from toolrl_cli.benchmarks.bfcl.evaluator import reading
from toolrl_cli.benchmarks.bfcl.process import ask
from toolrl_cli.benchmarks.bfcl.prompts import rlla_messages
from toolrl_cli.benchmarks.bfcl.session import Conversations, EvaluatorEnded
from toolrl_cli.datasets.evaluators import EVALUATORS
from toolrl_cli.spec.evaluations.benchmarks import (
    Answer,
    Ask,
    Benchmark,
    CannotRun,
    Item,
    Metric,
    Reply,
    Session,
    Verdict,
)

if TYPE_CHECKING:
    from toolrl_cli.spec.evaluations.benchmarks import EvaluationContext
    from toolrl_cli.spec.run.data_settings import DataSpec
    from toolrl_cli.spec.run.evaluation_settings import EvaluateSpec

UNANSWERABLE = frozenset(
    {
        "java_36",
        "java_64",
        "java_65",
        "live_simple_106-63-0",
        "live_simple_112-68-0",
        "live_multiple_862-181-3",
        "live_multiple_964-207-0",
    }
)
"""Items of bfcl-eval 2025.6.8 that its checker calls wrong whatever is answered; found with its own gold answers.
In bfcl-eval 2026.3.23 they are the same, its Java ones named `simple_java_…`."""


LONGEST_PROMPT = 28_672
"""Tokens: the context of the paper's models less 4,096 for an answer. Dialogues with gold answers reach 86,000
characters, and a model's mistakes lengthen them."""


@dataclass(frozen=True)
class BfclItem(Item):
    """An item, and the environment of the evaluator that it came from."""

    evaluator: Path = Path()


class Bfcl(Benchmark):
    """BFCL as bfcl-eval has it, in one of the formats in which calls are asked for and read.

    Multi-turn conversations are led by upstream's loop and simulators, in the evaluator's process. The id
    live_relevance_3-3-0 stands for two questions in the data; the second is `live_relevance_3-3-0#2` here.

    Attributes:
        format: `rlla` (ToolRL's prompt) or `native` (the chat template's own function calling).
        unanswerable: ids of items that are wrong whatever is answered.
    """

    version: ClassVar[str] = EVALUATORS["bfcl"].release
    categories: ClassVar[tuple[str, ...]] = columns.CATEGORIES
    source: ClassVar[str] = "bfcl"
    format: ClassVar[str]
    _longest = LONGEST_PROMPT
    unanswerable: ClassVar[frozenset[str]] = UNANSWERABLE
    right_if_empty: ClassVar[frozenset[str]] = frozenset({columns.IRRELEVANCE, "live_irrelevance"})

    def configured(self, evaluation: EvaluateSpec) -> Bfcl:
        """Itself, knowing how long a prompt may be."""
        known = copy.copy(self)
        known._longest = evaluation.max_prompt_length
        return known

    def lacking(self) -> str:
        if self._longest >= LONGEST_PROMPT:
            return ""
        return (
            f"dialogues of several turns outgrow evaluation.max_prompt_length={self._longest}; an item that does is "
            f"not run, and columns over it have no value (--set evaluation.max_prompt_length={LONGEST_PROMPT})"
        )

    def items(self, data: DataSpec | None, folder: Path | None = None) -> Sequence[BfclItem]:
        assert folder is not None
        with tempfile.TemporaryDirectory() as scratch:
            lines = ask(folder, Path(scratch), "items", self.format)
            return [self._item(line, folder) for line in lines]

    def _item(self, line: Mapping[str, Any], folder: Path) -> BfclItem:
        upstream, turns, tools = line["category"], line["turns"], line["tools"]
        category = columns.IRRELEVANCE if upstream == "irrelevance" else upstream
        messages = self.messages(category, turns[0], tools)
        return BfclItem(line["id"], category, messages, line["gold"], tools=tools, evaluator=folder)

    def messages(
        self, category: str, said: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
    ) -> Sequence[Mapping[str, Any]]:
        """What the model is sent of a dialogue."""
        if self.format == "native":
            return said
        return rlla_messages(said, tools, several_turns=category in columns.MULTI_TURN)

    def question(
        self, category: str, said: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
    ) -> Ask:
        """The question that a dialogue has come to."""
        return Ask(self.messages(category, said, tools), tools=tools if self.format == "native" else None)

    @contextmanager
    def session(self, scratch: Path, ctx: EvaluationContext) -> Iterator[Session]:
        session = BfclSession(self, scratch)
        try:
            yield session
        finally:
            session.close()

    def judge(self, item: Item, reply: Reply) -> Verdict:
        with tempfile.TemporaryDirectory() as scratch:
            return self.judge_all([item], [reply], Path(scratch))[0]

    def judge_all(self, items: Sequence[Item], replies: Sequence[Reply], scratch: Path) -> list[Verdict]:
        """Verdicts by upstream's checkers, in a process of their own.

        Raises:
            BenchmarkError: the evaluator refuses the answers, or ends before its time.
        """
        pairs = list(zip(items, replies, strict=True))
        reasons = {item.id: str(reply.record.get("stopped", "")) for item, reply in pairs}
        rows = [
            {"id": item.id, "answer": reply.record.get("turns", reply.output)}
            for item, reply in pairs
            if not reasons[item.id]
        ]
        if rows:
            (folder,) = {item.evaluator for item in items if isinstance(item, BfclItem)}
            for line in ask(folder, scratch, "score", self.format, rows):
                reasons[line["id"]] = "" if line["correct"] else line["reason"] or "wrong"
        return [Verdict(reasons[item.id], self.calls(reply)) for item, reply in pairs]

    def calls(self, reply: Reply) -> list[dict[str, Any]]:
        """The calls that are read in a reply, of all its steps."""
        steps = [step for turn in reply.record.get("turns", [[reply.output]]) for step in turn]
        if self.format == "native":
            return [
                {"name": name, "parameters": arguments}
                for step in steps
                for name, arguments in reading.native_calls(step)
            ]
        return [call for step in steps for call in reading.rlla_calls(step) if isinstance(call, dict)]

    def metrics(self, items: Sequence[Item], verdicts: Sequence[Verdict | None]) -> dict[str, Metric]:
        total = Counter(item.category for item in items)
        pairs = list(zip(items, verdicts, strict=True))
        right = Counter(item.category for item, verdict in pairs if verdict is not None and verdict.correct)
        unknown = Counter(item.category for item, verdict in pairs if verdict is None)
        return self.columns_of({name: (right[name], total[name]) for name in total}, unknown)

    def columns_of(self, counts: columns.Counts, unknown: Mapping[str, int]) -> dict[str, Metric]:
        """The columns from the counts of the categories."""
        return columns.columns(counts, unknown)

    def empty_replies(self, items: Sequence[Item], scratch: Path) -> Sequence[Reply]:
        golds = self.gold_replies(items, scratch)
        return [
            reply_of([[""] for _ in g.record["turns"]]) if "turns" in g.record else Reply("") for g in golds
        ]

    def gold_replies(self, items: Sequence[Item], scratch: Path) -> list[Reply]:
        """What a model that is always right would say; all is right then but for `unanswerable`."""
        (folder,) = {item.evaluator for item in items if isinstance(item, BfclItem)}
        gold = {line["id"]: line["calls"] for line in ask(folder, scratch, "gold", self.format)}
        return [self._gold_reply(item.category, gold[item.id]) for item in items]

    def _gold_reply(self, category: str, calls: Any) -> Reply:
        if category not in columns.MULTI_TURN:
            return Reply(self.said(calls))
        turns = [[self.said(turn), self.said([])] if turn else [self.said([])] for turn in calls]
        return reply_of(turns)

    def said(self, calls: Sequence[Mapping[str, Any]]) -> str:
        """Calls as a model says them in this format."""
        if self.format == "native":
            said = [{"name": c["name"].replace(".", "_"), "arguments": c["parameters"]} for c in calls]
            return "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in said) or "No."
        lines = "\n".join(json.dumps(dict(call)) for call in calls)
        block = f"<tool_call>\n{lines}\n</tool_call>" if calls else "<response> No. </response>"
        return f"<think> … </think>\n{block}"


class BfclV4(Bfcl):
    """BFCL V4 as bfcl-eval 2026.3.23 has it, without its agentic categories and its test of upstream's own prompt."""

    version: ClassVar[str] = EVALUATORS["bfcl_v4"].release
    categories: ClassVar[tuple[str, ...]] = columns.CATEGORIES_V4
    source: ClassVar[str] = "bfcl_v4"
    unanswerable: ClassVar[frozenset[str]] = frozenset(
        id.replace("java_", "simple_java_") if id.startswith("java_") else id for id in UNANSWERABLE
    )

    def columns_of(self, counts: columns.Counts, unknown: Mapping[str, int]) -> dict[str, Metric]:
        return columns.columns_v4(counts, unknown)


def reply_of(turns: Sequence[Sequence[str]], stopped: str = "", stop: str = "stop") -> Reply:
    """A conversation's reply: its turns, and for people its texts one after the other."""
    shown = "\n\n".join(f"[turn {number}]\n" + "\n".join(turn) for number, turn in enumerate(turns, start=1))
    return Reply(shown, {"turns": [list(turn) for turn in turns], "stopped": stopped}, stop)


class BfclSession(Session):
    """Conversations over items; the evaluator's process is started with the first of several turns."""

    def __init__(self, benchmark: Bfcl, scratch: Path) -> None:
        self._benchmark = benchmark
        self._scratch = scratch
        self._conversations: Conversations | None = None

    def converse(self, item: Item) -> Generator[Ask, Answer, Reply]:
        """Ask an item's question, or lead its conversation.

        Raises:
            CannotRun: the evaluator's process ended, or does not answer.
        """
        assert isinstance(item, BfclItem)
        if item.category not in columns.MULTI_TURN:
            tools = item.tools if self._benchmark.format == "native" else None
            answer = yield Ask(item.messages, tools=tools)
            return Reply(answer.text, {}, answer.stop)
        try:
            return (yield from self._lead(item))
        except EvaluatorEnded as error:
            raise CannotRun(f"the evaluator ended: {error}") from error

    def _lead(self, item: BfclItem) -> Generator[Ask, Answer, Reply]:
        if self._conversations is None:
            self._conversations = Conversations(item.evaluator, self._scratch, self._benchmark.format)
        conversation = self._conversations.lead(item.id)
        texts: list[str] = []
        stop = "stop"
        line = next(conversation)
        try:
            while True:
                answer = yield self._benchmark.question(item.category, line["messages"], line["tools"])
                texts.append(answer.text)
                stop = answer.stop if answer.stop == "length" else stop
                line = conversation.send(answer.text)
        except StopIteration as end:
            turns, stopped = end.value["turns"], end.value["stopped"]
            return reply_of([texts] if stopped else turns, stopped, stop)
        finally:
            conversation.close()

    def close(self) -> None:
        """End the evaluator's process."""
        if self._conversations is not None:
            self._conversations.close()
