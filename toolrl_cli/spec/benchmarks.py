"""The benchmarks that `evaluate:` knows, and which of them this version can run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.suggest import hint_for


@dataclass(frozen=True)
class Benchmark:
    """A benchmark by name.

    Attributes:
        protocol: how answers are asked for and judged; scores under different protocols are never compared.
        has_runner: whether this version can evaluate on it. One without is planned and never started.
    """

    name: str
    protocol: str
    has_runner: bool = False


BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("toolworld", "exact-match", has_runner=True),
        Benchmark("bfcl", "bfcl_v3_exec"),
        Benchmark("api_bank", "api_bank"),
        Benchmark("bamboogle", "bamboogle"),
    )
}


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
            hint = hint_for(str(name), BENCHMARKS, "benchmarks")
            raise SpecError(f"unknown benchmark {name!r}", where(position), hint)
        if name in names[:position]:
            raise SpecError(f"the benchmark {name!r} stands twice", where(position), "list each once")


def why_not_run(name: str) -> str | None:
    """Why this version cannot evaluate on a benchmark; None where it can, or does not know the name."""
    known = BENCHMARKS.get(name)
    return None if known is None or known.has_runner else f"{name} has no runner in this version of toolrl"


def is_evaluation(stage: StageSpec) -> bool:
    """Whether a stage asks a model a benchmark's questions."""
    return "benchmark" in stage.config


def why_blocked(stage: StageSpec) -> str | None:
    """Why this version can never start a stage; None for one that it can."""
    return why_not_run(str(stage.config["benchmark"])) if is_evaluation(stage) else None
