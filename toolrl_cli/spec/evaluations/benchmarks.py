"""What a benchmark is, and which there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from toolrl_cli.errors import BenchmarkError, SpecError
from toolrl_cli.registry import Registry
from toolrl_cli.spec.evaluations.asking import Answer as Answer
from toolrl_cli.spec.evaluations.asking import Ask as Ask
from toolrl_cli.spec.evaluations.asking import CannotRun as CannotRun
from toolrl_cli.spec.evaluations.asking import EvaluationContext as EvaluationContext
from toolrl_cli.spec.evaluations.asking import Item as Item
from toolrl_cli.spec.evaluations.asking import Metric as Metric
from toolrl_cli.spec.evaluations.asking import NotRun as NotRun
from toolrl_cli.spec.evaluations.asking import Reply as Reply
from toolrl_cli.spec.evaluations.asking import Session as Session
from toolrl_cli.spec.evaluations.asking import Verdict as Verdict
from toolrl_cli.spec.evaluations.own_evaluation import is_own
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.suggest import hint_for

if TYPE_CHECKING:
    from toolrl_cli.spec.run.data_settings import DataSpec
    from toolrl_cli.spec.run.evaluation_settings import EvaluateSpec
    from toolrl_cli.spec.run.run_spec import RunSpec

OVERALL = "overall"


class Benchmark(ABC):
    """One benchmark: its items, its prompts, its protocol and its judge.

    Attributes:
        name: as in `evaluate: [NAME]`.
        protocol: how answers are asked for and judged; scores under different protocols are never compared.
        version: of its items; scores of different versions are never compared.
        prompt_format: how the questions are put.
        categories: the columns beside the overall one, in order; empty for those that the items name.
        also: names of further rules that an answer is judged by; each has columns `overall_NAME` and `CATEGORY_NAME`.
        source: name of the released data set that the items are read from (`datasets.released`); empty for none.
        why_not_run: why this version of toolrl cannot evaluate on it; empty where it can.
        unanswerable: ids of items that its judge calls wrong whatever is answered.
        right_if_empty: categories in which an answer that says nothing is right, because nothing is to be called.
    """

    name: ClassVar[str]
    protocol: ClassVar[str]
    version: ClassVar[str] = "1"
    prompt_format: ClassVar[str] = "chat"
    categories: ClassVar[tuple[str, ...]] = ()
    also: ClassVar[tuple[str, ...]] = ()
    source: ClassVar[str] = ""
    why_not_run: ClassVar[str] = ""
    unanswerable: ClassVar[frozenset[str]] = frozenset()
    right_if_empty: ClassVar[frozenset[str]] = frozenset()

    def data(self, run: RunSpec) -> DataSpec | None:
        """The data set whose split `benchmark` the items are made of; None where the benchmark has its own items.

        It is part of a stage's identity by its fingerprint, and so are `protocol` and `version` where there is none.
        """
        return None

    def configured(self, evaluation: EvaluateSpec) -> Benchmark:
        """The benchmark under the protocol that an evaluation asks for, where it has several; itself by default.

        Raises:
            SpecError: what the evaluation asks for cannot be used.
        """
        return self

    def lacking(self) -> str:
        """What the environment lacks for asking, such as a key, with what to do; empty where nothing is lacking."""
        return ""

    @abstractmethod
    def items(self, data: DataSpec | None, folder: Path | None = None) -> Sequence[Item]:
        """The items, in order.

        Args:
            data: what `data` gave when the stage was planned.
            folder: with the files of `source`, which are what they should be; None where there is no source.
        """

    @contextmanager
    def session(self, scratch: Path, ctx: EvaluationContext) -> Iterator[Session]:
        """What leads the conversations, with what it needs while the model is asked.

        Args:
            scratch: a folder that is there, and goes when the session ends.
            ctx: of the evaluation.
        """
        yield Session()

    @abstractmethod
    def judge(self, item: Item, reply: Reply) -> Verdict:
        """What is to be said of a reply; it never raises, whatever the text.

        Args:
            item: the question.
            reply: what its conversation came to.
        """

    def judge_all(self, items: Sequence[Item], replies: Sequence[Reply], scratch: Path) -> list[Verdict]:
        """The verdicts on many replies, one each.

        Args:
            scratch: a folder that is there, and goes afterwards.
        """
        return [self.judge(item, reply) for item, reply in zip(items, replies, strict=True)]

    def gold_replies(self, items: Sequence[Item], scratch: Path) -> Sequence[Reply] | None:
        """What a model that is always right would say; None where that is not known."""
        return None

    def empty_replies(self, items: Sequence[Item], scratch: Path) -> Sequence[Reply]:
        """What a model that says nothing would say."""
        return [Reply("") for _ in items]

    def metrics(self, items: Sequence[Item], verdicts: Sequence[Verdict | None]) -> dict[str, Metric]:
        """Column → metric: by default the share of right answers of each category and of all, by each rule.

        Args:
            verdicts: one for each item; None where it could not be run, so that what it counts for has no value.

        Raises:
            BenchmarkError: a verdict leaves out a rule of `also`.
        """
        named = self.categories or [item.category for item in items]
        categories = [name for name in dict.fromkeys(named) if name != OVERALL]
        rows = list(zip((item.category for item in items), verdicts, strict=True))
        return {
            name + (f"_{rule}" if rule else ""): share_right(
                [self.right(v, rule) for category, v in rows if name in (category, OVERALL)]
            )
            for rule in ("", *self.also)
            for name in (*categories, OVERALL)
        }

    def right(self, verdict: Verdict | None, rule: str = "") -> bool | None:
        """Whether an answer is right by a rule; None where there is no verdict.

        Raises:
            BenchmarkError: the verdict leaves the rule out.
        """
        if verdict is None:
            return None
        if not rule:
            return verdict.correct
        if rule not in verdict.also:
            raise BenchmarkError(
                f"a verdict leaves out the rule {rule!r}",
                f"benchmark {self.name}",
                f"`judge` has to give every rule of `also`, for example Verdict(also={{{rule!r}: True}})",
            )
        return bool(verdict.also[rule])


def share_right(right: Sequence[bool | None]) -> Metric:
    """The share of right answers; None stands for an item that could not be run."""
    total, unknown = len(right), right.count(None)
    if not total:
        return Metric(None, None, 0, "the benchmark has no such item")
    if unknown:
        return Metric(None, None, total, f"{unknown} of {total} items could not be run")
    correct = sum(map(bool, right))
    return Metric(correct / total, correct, total)


BENCHMARKS: Registry[Benchmark] = Registry(
    "toolrl.benchmarks", "toolrl_cli.benchmarks.catalogue", Benchmark, "benchmark", SpecError
)


def check_benchmarks(entries: Sequence[object], where: Callable[[int], str]) -> None:
    """Refuse a list of `evaluate` that holds what is no benchmark, or one twice.

    Args:
        entries: the list: names, and mappings as `OverSteps`.
        where: position → its place in the file.

    Raises:
        SpecError: with the nearest name.
    """
    seen: set[str] = set()
    for position, entry in enumerate(entries):
        if is_own(entry):
            continue  # where it is looked at: `spec.evaluations.own_evaluation`
        name = _over_steps(entry, where(position)) if isinstance(entry, Mapping) else entry
        if not isinstance(name, str) or name not in BENCHMARKS:
            hint = hint_for(str(name), BENCHMARKS.names(), "benchmarks")
            raise SpecError(f"unknown benchmark {name!r}", where(position), hint)
        if name in seen:
            raise SpecError(f"the benchmark {name!r} stands twice", where(position), "list each once")
        seen.add(name)


def _over_steps(entry: Mapping[object, object], where: str) -> object:
    """The benchmark of `{benchmark: NAME, every: STEPS}`, whose keys and number of steps are checked."""
    example = "for example {benchmark: toolworld, every: 15}"
    for key in entry:
        if key not in ("benchmark", "every"):
            raise SpecError(f"unknown key {key!r}", where, hint_for(str(key), ("benchmark", "every"), "keys"))
    for key in ("benchmark", "every"):
        if key not in entry:
            raise SpecError(f"the key {key!r} is missing", where, example)
    every = entry["every"]
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise SpecError(f"every: {every!r} is no number of steps", where, example)
    return entry["benchmark"]


def why_not_run(name: str) -> str | None:
    """Why this version cannot evaluate on a benchmark; None where it can, or does not know the name."""
    return (BENCHMARKS.get(name).why_not_run if name in BENCHMARKS else "") or None


def is_evaluation(stage: StageSpec) -> bool:
    """Whether a stage asks a model a benchmark's questions."""
    return "benchmark" in stage.config


def why_blocked(stage: StageSpec) -> str | None:
    """Why this version can never start a stage; None for one that it can."""
    return why_not_run(str(stage.config["benchmark"])) if is_evaluation(stage) else None
