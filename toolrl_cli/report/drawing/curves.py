"""Training curves of arms: a metric by step, averaged over seeds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.report.arms import Arm
from toolrl_cli.report.drawing.scored_steps import benchmarks_on_the_way, scores_by_step
from toolrl_cli.report.sources.results import Run, Stage
from toolrl_cli.report.statistics.seeds import seed_mean
from toolrl_cli.store.documents import number
from toolrl_cli.training.reward_metrics import validation_name

Series = Mapping[int, float]
"""Step → value."""

MetricReader = Callable[[Path], Iterable[Mapping[str, Any]]]
"""Stage directory → one {"step", "data"} for each step, as from `toolrl_cli.store.metrics.merge_metrics`."""

PART = re.compile(r"reward/(?P<part>.+)/weighted/mean")


@dataclass(frozen=True)
class Curve:
    """One arm's mean over seeds.

    Attributes:
        steps, mean: of equal length.
        half_width: of the 95 % t interval at each step; None for fewer than three seeds.
        seeds: number of seeds with a value at each step.
        runs: number of seeds that have this metric at all.
    """

    steps: tuple[int, ...]
    mean: tuple[float, ...]
    half_width: tuple[float | None, ...]
    seeds: tuple[int, ...]
    runs: int


@dataclass(frozen=True)
class Panel:
    """One small plot: title, unit and candidate metrics, of which the first that an arm has is shown.

    With a benchmark's name it shows the scores of models on the way instead (`scored_steps`).
    """

    title: str
    unit: str
    metrics: tuple[str, ...]
    sparse: bool = False
    benchmark: str = ""


TOTAL = Panel("Total reward", "reward", ("reward/total/mean", "critic/score/mean"))
LENGTH = Panel("Response length", "tokens", ("response_length/mean",))
VALIDATION = Panel("Validation reward", "reward", ("val-reward/total/mean",), sparse=True)


class CurveReader:
    """Reads each stage's metrics once, and keeps only those that a panel may show."""

    def __init__(self, read: MetricReader | None = None) -> None:
        self._read = read
        self._known: dict[str, dict[str, dict[int, float]]] = {}
        self._curves: dict[tuple[tuple[str, ...], Panel], Curve | None] = {}
        self.faults: dict[str, str] = {}
        """Stage → why its metrics could not be read."""

    def series(self, stage: Stage) -> Mapping[str, Series]:
        """Metric → its values by step; empty where nothing was logged."""
        if stage.id not in self._known:
            self._known[stage.id] = self._load(stage.directory)
        return self._known[stage.id]

    def curve(self, arm: Arm, panel: Panel) -> Curve | None:
        """An arm's curve for a panel over its distinct RL stages; None if none has the metric."""
        runs = {s.id: (run, s) for run in arm.runs if (s := rl_stage(run)) is not None}
        key = (tuple(runs), panel)
        if key not in self._curves:
            found = [
                scores_by_step(run, panel.benchmark)
                if panel.benchmark
                else _first(self.series(stage), panel.metrics)
                for run, stage in runs.values()
            ]
            self._curves[key] = _mean([s for s in found if s])
        return self._curves[key]

    def metric(self, stage: Stage, name: str) -> Series:
        """Any metric of a stage, by step."""
        known = self.series(stage)
        if name in known or _wanted(name):
            return known.get(name, {})
        return _by_metric(self._rows(stage.directory), lambda key: key == name).get(name, {})

    def _load(self, directory: Path) -> dict[str, dict[int, float]]:
        return _by_metric(self._rows(directory), _wanted)

    def _rows(self, directory: Path) -> Iterable[Mapping[str, Any]]:
        if self._read is None:
            from toolrl_cli.store.metrics import merge_metrics

            self._read = merge_metrics
        try:
            return self._read(directory)
        except OSError as error:
            self.faults[directory.name] = error.strerror or type(error).__name__
        except LedgerError as error:
            self.faults[directory.name] = error.what
        return ()


def rl_stage(run: Run) -> Stage | None:
    """The RL stage of a run, or None for a raw or SFT run."""
    return next((s for s in reversed(run.training) if s.kind == "rl"), None)


def panels_of(arms: Sequence[Arm], reader: CurveReader) -> list[Panel]:
    """The panels for which these arms have values.

    In this order: benchmarks scored on the way; total reward, format, correctness, other parts; length; validation.
    """
    names: set[str] = set()
    for stage in {s.id: s for arm in arms for s in map(rl_stage, arm.runs) if s is not None}.values():
        names.update(reader.series(stage))
    parts = {m["part"] for m in map(PART.fullmatch, names) if m} - {"total"}
    ordered = [p for p in ("format", "correctness") if p in parts] + sorted(parts - {"format", "correctness"})
    chosen = [TOTAL, *map(part_panel, ordered), LENGTH, VALIDATION]
    accuracy = sorted(n for n in names if n.startswith("val-") and "/acc/" in n)
    if accuracy:
        chosen.append(Panel("Validation accuracy", "share", (accuracy[0],), sparse=True))
    scored = map(_scores, benchmarks_on_the_way([run for arm in arms for run in arm.runs]))
    drawn = [p for p in scored if any(reader.curve(arm, p) for arm in arms)]
    return [*drawn, *(p for p in chosen if names.intersection(p.metrics))]


def _scores(benchmark: str) -> Panel:
    return Panel(f"{benchmark} score", "% of items", (), sparse=True, benchmark=benchmark)


def part_panel(part: str, raw: bool = False) -> Panel:
    """The panel of one part of the reward, with its weight or without."""
    kind = "raw" if raw else "weighted"
    title = f"{part[:1].upper()}{part[1:].replace('_', ' ')} reward"
    return Panel(title, "reward" if not raw else "reward before weight", (f"reward/{part}/{kind}/mean",))


def _mean(series: Sequence[Series]) -> Curve | None:
    """The mean at each step, over the series that have the step."""
    if not series:
        return None
    steps = sorted(set().union(*series))
    means = [seed_mean([s[step] for s in series if step in s]) for step in steps]
    return Curve(
        steps=tuple(steps),
        mean=tuple(m.mean for m in means),
        half_width=tuple(m.half_width for m in means),
        seeds=tuple(m.n for m in means),
        runs=len(series),
    )


def _first(series: Mapping[str, Series], metrics: Sequence[str]) -> Series:
    return next((series[m] for m in metrics if m in series), {})


def _wanted(name: str) -> bool:
    return (
        name in ("response_length/mean", "critic/score/mean")
        or name.startswith(("reward/", "val-reward/"))
        or (name.startswith("val-") and "/acc/" in name)
    )


def _by_metric(
    rows: Iterable[Mapping[str, Any]], wanted: Callable[[str], bool]
) -> dict[str, dict[int, float]]:
    series: dict[str, dict[int, float]] = {}
    names: dict[str, str | None] = {}
    for row in rows:
        step, data = row["step"], row["data"]
        for logged, value in data.items():
            if logged not in names:
                name = validation_name(logged) or logged  # verl chooses the names of validation metrics
                names[logged] = name if wanted(name) else None
            kept = names[logged]
            if kept is not None:
                finite = number(value)
                if finite is not None:
                    series.setdefault(kept, {})[step] = finite
    return series
