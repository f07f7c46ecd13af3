"""`bamboogle`: 125 questions that take two facts (arXiv 2210.03350), with a search tool, as ToolRL released it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from toolrl_cli.benchmarks.bamboogle import dialogue
from toolrl_cli.benchmarks.bamboogle.corpus import Corpus, corpus_fingerprint, read_corpus
from toolrl_cli.benchmarks.bamboogle.matching import holds, same
from toolrl_cli.datasets.released import COMMIT
from toolrl_cli.spec.evaluations.asking import (
    Answer,
    Ask,
    EvaluationContext,
    Item,
    Metric,
    Reply,
    Session,
    Verdict,
)
from toolrl_cli.spec.evaluations.benchmarks import Benchmark, share_right
from toolrl_cli.spec.run.data_settings import DataSpec
from toolrl_cli.spec.run.evaluation_settings import BamboogleSpec, EvaluateSpec, JudgeSpec

RELEASED_JUDGE = JudgeSpec(model="gpt-4o")
NO_ANSWER = f"no answer in {dialogue.ROUNDS} rounds"

Judging = Callable[[str, str, str], tuple[bool, str]]
"""Question, gold answer, answer → whether it is right, and what the judge said."""


class Bamboogle(Benchmark):
    """An answer is right where the judge model says so, or, without one, where it holds the words of the gold answer
    (`matching`). Searches are counted as the paper counts them: those that were answered.

    Args:
        settings: who answers searches and judges answers; the protocol is named by them, and only that of the paper
            (Serper, GPT-4o) is called `bamboogle`.
    """

    name: ClassVar[str] = "bamboogle"
    version: ClassVar[str] = COMMIT[:12]
    prompt_format: ClassVar[str] = "rlla"
    categories: ClassVar[tuple[str, ...]] = ("questions",)
    source: ClassVar[str] = "bamboogle"

    def __init__(self, settings: BamboogleSpec | None = None) -> None:
        self.settings = settings or BamboogleSpec()
        self.protocol = protocol_of(self.settings)  # type: ignore[misc]

    def configured(self, evaluation: EvaluateSpec) -> Bamboogle:
        """Under the protocol that an evaluation asks for.

        Raises:
            SpecError: the documents to search cannot be read.
        """
        return Bamboogle(evaluation.bamboogle)

    def lacking(self) -> str:
        judge = self.settings.judge
        needed = {
            "SERPER_API_KEY": "search: FOLDER searches documents of your own" if self._on_the_web else "",
            (judge and judge.key_env) or "": "judge: null matches words",
        }
        absent = {k: way for k, way in needed.items() if k and way and not os.environ.get(k, "").strip()}
        if not absent:
            return ""
        verb = "is" if len(absent) == 1 else "are"
        return (
            f"{' and '.join(absent)} {verb} not set here, and without no question can be asked (export it where the "
            f"evaluation runs, or in evaluation.bamboogle: {'; '.join(absent.values())})"
        )

    def items(self, data: DataSpec | None, folder: Path | None = None) -> Sequence[Item]:
        assert folder is not None
        rows = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        return [
            Item(
                f"bamboogle_{index}",
                "questions",
                dialogue.first_messages(row["Question"]),
                {"question": row["Question"], "answer": row["Answer"]},
                [{"name": dialogue.SEARCH.name, "description": dialogue.SEARCH.description}],
            )
            for index, row in enumerate(rows)
        ]

    @contextmanager
    def session(self, scratch: Path, ctx: EvaluationContext) -> Iterator[Session]:
        import httpx  # and what speaks through it: a plan needs neither

        from toolrl_cli.benchmarks.bamboogle.judging import Judge
        from toolrl_cli.benchmarks.bamboogle.serper import Serper, serper_key

        with httpx.Client() as client:
            search = (
                Serper(client, serper_key()) if self._on_the_web else Corpus(read_corpus(self._documents))
            )
            judge = Judge(client, self.settings.judge) if self.settings.judge else None
            yield Conversations(search, judge)

    @property
    def _on_the_web(self) -> bool:
        return self.settings.search == "serper"

    @property
    def _documents(self) -> Path:
        return Path(self.settings.search)

    def gold_replies(self, items: Sequence[Item], scratch: Path) -> Sequence[Reply]:
        return [_searched_and_answered(item) for item in items]

    def judge(self, item: Item, reply: Reply) -> Verdict:
        searches = reply.record.get("searches", ())
        calls = [{"name": dialogue.SEARCH.name, "parameters": {"query": query}} for query in searches]
        predicted = reply.record.get("predicted")
        gold = str(item.gold["answer"])
        if not predicted:
            return Verdict("an empty answer" if predicted == "" else NO_ANSWER, calls, {"exact": False})
        exact = same(str(predicted), gold)
        right = (
            holds(str(predicted), gold) if self.settings.judge is None else bool(reply.record.get("judged"))
        )
        return Verdict("" if right else f"wrong; wanted {gold!r}", calls, {"exact": exact})

    def metrics(self, items: Sequence[Item], verdicts: Sequence[Verdict | None]) -> dict[str, Metric]:
        """`accuracy`, `accuracy_exact` (the gold answer and nothing else), `avg_tool_calls` (searches a question)."""
        accuracy, exact = ([self.right(verdict, rule) for verdict in verdicts] for rule in ("", "exact"))
        share = share_right(accuracy)
        ran = [verdict for verdict in verdicts if verdict is not None]
        calls = None if share.value is None else sum(len(v.calls) for v in ran) / len(ran)
        return {
            "accuracy": share,
            "accuracy_exact": share_right(exact),
            "avg_tool_calls": Metric(calls, why=share.why),
        }


class Conversations(Session):
    """Questions and answers, with searches in between and the judge's word at the end.

    Args:
        search: answers a query.
        judge: judges an answer; None: that is done later, by matching.
    """

    def __init__(self, search: dialogue.Search, judge: Judging | None = None) -> None:
        self._search = search
        self._judge = judge

    def converse(self, item: Item) -> Generator[Ask, Answer, Reply]:
        question, gold = str(item.gold["question"]), str(item.gold["answer"])
        found = yield from dialogue.ask(question, self._search)
        record: dict[str, Any] = found.to_json()
        if self._judge is not None and found.predicted:
            record["judged"], record["judge"] = self._judge(question, gold, found.predicted)
        return Reply("\n\n".join(found.turns), record, "length" if found.cut else "stop")


def _searched_and_answered(item: Item) -> Reply:
    """What a model would say that searches for the question and then gives the gold answer, as words judge it."""
    gold = item.gold["answer"]
    call = json.dumps({"name": dialogue.SEARCH.name, "parameters": {"query": item.gold["question"]}})
    says = iter([f"<tool_call>\n{call}\n</tool_call>", f"<think> … </think>\n<response> {gold} </response>"])
    judge = Conversations(
        lambda query: str(gold), lambda question, wanted, said: (holds(said, wanted), "words")
    )
    conversation = judge.converse(item)
    next(conversation)
    while True:
        try:
            conversation.send(Answer(next(says)))
        except StopIteration as end:
            reply: Reply = end.value
            return reply


def protocol_of(settings: BamboogleSpec) -> str:
    """The protocol's name.

    Raises:
        SpecError: the documents to search cannot be read.
    """
    if settings == BamboogleSpec(judge=RELEASED_JUDGE):
        return "bamboogle"
    web = settings.search == "serper"
    search = "Serper" if web else f"documents {corpus_fingerprint(Path(settings.search))}"
    judge = settings.judge
    judged = "matching words" if judge is None else f"judge {judge.model}"
    if judge is not None and judge.url != RELEASED_JUDGE.url:
        judged += f" at {urlsplit(judge.url).netloc}"
    return f"bamboogle, {search}, {judged}"


BENCHMARK = Bamboogle()
