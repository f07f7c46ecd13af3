"""What a benchmark is, and which there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from toolrl_cli.errors import SpecError
from toolrl_cli.registry import Registry
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.suggest import hint_for

if TYPE_CHECKING:
    from toolrl_cli.spec.models import DataSpec, RunSpec

OVERALL = "overall"


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    Attributes:
        id: unique in the benchmark.
        category: the column that it counts for, beside the overall one.
        messages: what the model is asked, as chat messages; the last is the user's.
        gold: the answer that is wanted, for the benchmark's own judge.
    """

    id: str
    category: str
    messages: Sequence[Mapping[str, str]]
    gold: Any = None


@dataclass(frozen=True)
class Verdict:
    """What a benchmark says of one answer.

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
    """

    name: ClassVar[str]
    protocol: ClassVar[str]
    version: ClassVar[str] = "1"
    prompt_format: ClassVar[str] = "chat"
    categories: ClassVar[tuple[str, ...]] = ()
    also: ClassVar[tuple[str, ...]] = ()
    source: ClassVar[str] = ""
    why_not_run: ClassVar[str] = ""

    def data(self, run: RunSpec) -> DataSpec | None:
        """The data set whose split `benchmark` the items are made of; None where the benchmark has its own items.

        It is part of a stage's identity by its fingerprint, and so are `protocol` and `version` where there is none.
        """
        return None

    @abstractmethod
    def items(self, data: DataSpec | None, folder: Path | None = None) -> Sequence[Item]:
        """The items, in order.

        Args:
            data: what `data` gave when the stage was planned.
            folder: with the files of `source`, which are what they should be; None where there is no source.
        """

    @abstractmethod
    def judge(self, item: Item, output: str) -> Verdict:
        """What is to be said of an answer; it never raises, whatever the text.

        Args:
            item: the question.
            output: the model's turn, tags kept, without the end-of-turn token.
        """


class NotYet(Benchmark):
    """A benchmark that is known, planned, and never started, because this version has no runner for it."""

    def __init__(self, name: str, protocol: str) -> None:
        self.name = name  # type: ignore[misc]
        self.protocol = protocol  # type: ignore[misc]
        self.why_not_run = f"{name} has no runner in this version of toolrl"  # type: ignore[misc]

    def items(self, data: DataSpec | None, folder: Path | None = None) -> Sequence[Item]:
        return ()

    def judge(self, item: Item, output: str) -> Verdict:
        return Verdict(self.why_not_run)


BENCHMARKS: Registry[Benchmark] = Registry(
    "toolrl.benchmarks", "toolrl_cli.benchmarks.catalogue", Benchmark, "benchmark", SpecError
)


def check_benchmarks(names: Sequence[object], where: Callable[[int], str]) -> None:
    """Refuse a list that holds what is no benchmark, or one twice.

    Args:
        names: the list.
        where: position → its place in the file.

    Raises:
        SpecError: with the nearest name.
    """
    for position, name in enumerate(names):
        if not isinstance(name, str) or name not in BENCHMARKS:
            hint = hint_for(str(name), BENCHMARKS.names(), "benchmarks")
            raise SpecError(f"unknown benchmark {name!r}", where(position), hint)
        if name in names[:position]:
            raise SpecError(f"the benchmark {name!r} stands twice", where(position), "list each once")


def why_not_run(name: str) -> str | None:
    """Why this version cannot evaluate on a benchmark; None where it can, or does not know the name."""
    return (BENCHMARKS.get(name).why_not_run if name in BENCHMARKS else "") or None


def is_evaluation(stage: StageSpec) -> bool:
    """Whether a stage asks a model a benchmark's questions."""
    return "benchmark" in stage.config


def why_blocked(stage: StageSpec) -> str | None:
    """Why this version can never start a stage; None for one that it can."""
    return why_not_run(str(stage.config["benchmark"])) if is_evaluation(stage) else None
