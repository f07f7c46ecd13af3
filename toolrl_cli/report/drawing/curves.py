"""Training curves of arms: a metric by step, averaged over seeds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.report.arms import Arm
from toolrl_cli.report.drawing.answers import Answers
from toolrl_cli.report.drawing.panels import (
    EXACT,
    LENGTH,
    LOGGED,
    TOTAL,
    TRAINING,
    VALIDATION,
    Panel,
    beside_panel,
    part_panel,
    scores,
)
from toolrl_cli.report.drawing.scales import on_one_axis, scaled
from toolrl_cli.report.drawing.scored_steps import (
    apart_in_curves,
    benchmarks_on_the_way,
    scores_by_step,
    steps_apart,
)
from toolrl_cli.report.sources.results import Run, Stage
from toolrl_cli.report.statistics.seeds import seed_mean
from toolrl_cli.rewards.user_code.values import OWN
from toolrl_cli.store.documents import number
from toolrl_cli.training.reward_metrics import validation_name

Series = Mapping[int, float]
"""Step → value."""

MetricReader = Callable[[Path], Iterable[Mapping[str, Any]]]
"""Stage directory → one {"step", "data"} for each step, as from `toolrl_cli.store.progress.metrics.merge_metrics`."""

PART = re.compile(r"reward/(?P<part>.+)/weighted/mean")
BESIDE = re.compile(rf"reward/(?P<part>[^/]+)/(?!(?:{'|'.join(OWN)})/)(?P<key>[^/]+)/mean")


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


class CurveReader:
    """Reads each stage's metrics once, and keeps only those that a panel may show."""

    def __init__(self, read: MetricReader | None = None) -> None:
        self._read = read
        self._known: dict[str, dict[str, dict[int, float]]] = {}
        self._curves: dict[tuple[tuple[str, ...], Panel], Curve | None] = {}
        self.faults: dict[str, str] = {}
        """Stage → why its metrics could not be read."""
        self.answers = Answers()

    def series(self, stage: Stage) -> Mapping[str, Series]:
        """Metric → its values by step; empty where nothing was logged."""
        if stage.id not in self._known:
            self._known[stage.id] = _as_planned(self._load(stage.directory), stage)
        return self._known[stage.id]

    def curve(self, arm: Arm, panel: Panel) -> Curve | None:
        """An arm's curve for a panel over its distinct RL stages; None if none has the metric, or they have no mean."""
        every = arm.runs
        if panel.benchmark:  # of runs that share a training, those with scores come last, and stand for it
            every = tuple(sorted(every, key=lambda run: bool(scores_by_step(run, panel.benchmark))))
        runs = {s.id: (run, s) for run in every if (s := rl_stage(run)) is not None}
        names = (f"{run.sweep}/{run.id}" for run, _ in runs.values())  # each has evaluations of its own
        key = (tuple(names if panel.benchmark else runs), panel)
        if key not in self._curves:
            apart = panel.benchmark and steps_apart(arm.runs, panel.benchmark)
            found = [] if apart else [self._of_run(run, stage, panel) for run, stage in runs.values()]
            self._curves[key] = _mean([s for s in found if s])
        return self._curves[key]

    def _of_run(self, run: Run, stage: Stage, panel: Panel) -> Series:
        if panel.benchmark:
            return scores_by_step(run, panel.benchmark)
        if panel.answers:
            return self.answers.by_step(stage.directory)
        found = _first(self.series(stage), panel.metrics)
        return scaled(found, stage, panel.part) if panel.scaled else found

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
            from toolrl_cli.store.progress.metrics import merge_metrics

            self._read = merge_metrics
        try:
            return self._read(directory)
        except OSError as error:
            self.faults[directory.name] = error.strerror or type(error).__name__
        except LedgerError as error:
            self.faults[directory.name] = error.what
        return ()


WEIGHTED = "reward/{}/weighted/mean"


def rl_stage(run: Run) -> Stage | None:
    """The RL stage of a run, or None for a raw or SFT run."""
    return next((s for s in reversed(run.training) if s.kind == "rl"), None)


def panels_of(arms: Sequence[Arm], reader: CurveReader, training: bool = False) -> list[Panel]:
    """The panels for which these arms have values, with the scale on which they can share an axis.

    In this order: benchmarks scored on the way; exact match of validation answers; validation reward; total reward,
    format, correctness, other parts, what users' functions returned beside these; length; with `training` what the
    optimiser logs.
    """
    stages = {s.id: s for arm in arms for s in map(rl_stage, arm.runs) if s is not None}
    names = set().union(*(reader.series(stage) for stage in stages.values()))
    parts = {m["part"] for m in map(PART.fullmatch, names) if m} - {"total"}
    ordered = [p for p in ("format", "correctness") if p in parts] + sorted(parts - {"format", "correctness"})
    beside = sorted((m["part"], m["key"]) for m in map(BESIDE.fullmatch, names) if m)
    logs = [reader.series(stage) for stage in stages.values()]
    # a part of weight 0 is a metric: what it would earn is worth a look, and its share of the reward is not
    weightless = {
        p for p in parts if not any(v for log in logs for v in log.get(WEIGHTED.format(p), {}).values())
    }
    of_parts = [part_panel(part, raw=part in weightless) for part in ordered]
    of_parts += [beside_panel(*named) for named in beside]
    logged = [VALIDATION, TOTAL, *of_parts, LENGTH, *(TRAINING if training else ())]
    accuracy = sorted(filter(_is_accuracy, names))
    if accuracy:
        logged.insert(
            0, Panel("Validation accuracy", "share", (accuracy[0],), sparse=True, limits=(0.0, 1.0))
        )
    scored = [*map(scores, benchmarks_on_the_way([run for arm in arms for run in arm.runs]))]
    common = [p for p in (*scored, EXACT) if any(reader.curve(arm, p) for arm in arms)]
    found = (p for p in logged if names.intersection(p.metrics))
    shown = [fair(p, arms, reader) for p in (*common, *found)]
    unsaid = [note for p in scored if p not in common for note in fair(p, arms, reader).notes]
    if shown and unsaid:  # of curves that nobody can average
        shown[0] = replace(shown[0], notes=(*shown[0].notes, *unsaid))
    return shown


def fair(panel: Panel, arms: Sequence[Arm], reader: CurveReader) -> Panel:
    """A panel as these arms can share it: its unit, its scale, and what has to be said."""
    if panel.benchmark:
        return replace(panel, notes=apart_in_curves(arms, panel.benchmark))
    if panel.answers:
        return replace(panel, notes=_of_answers(arms, reader))
    if not panel.part:
        return panel
    stages = [stage for arm in arms for stage in map(rl_stage, arm.runs) if stage is not None]
    drawn = [stage for stage in stages if not reader.series(stage).keys().isdisjoint(panel.metrics)]
    return on_one_axis(panel, drawn)


def _of_answers(arms: Sequence[Arm], reader: CurveReader) -> tuple[str, ...]:
    stages = [s for arm in arms for s in map(rl_stage, arm.runs) if s is not None]
    drawn = [s for s in stages if reader.answers.by_step(s.directory)]
    sizes = sorted(reader.answers.sizes)
    many = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}" if sizes else "no"
    told = [f"Exact match: {many} validation answers a seed and point, in one measure for all rewards."]
    if len({str(s.spec.identity.get("data")) for s in drawn}) > 1:
        told.append("The arms were validated on different data.")
    if reader.answers.thinned:
        told.append(f"Of {len(reader.answers.thinned)} runs only some validations were read, evenly spaced.")
    return tuple(told)


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
    return name in LOGGED or name.startswith(("reward/", "val-reward/")) or _is_accuracy(name)


def _is_accuracy(name: str) -> bool:
    return name.startswith(("val-core/", "val-aux/")) and "/acc/" in name


def _as_planned(series: dict[str, dict[int, float]], stage: Stage) -> dict[str, dict[int, float]]:
    """Without the validations of steps at which a stopped training went on: no other seed has them."""
    every = stage.spec.config.get("rl", {}).get("validate_every")
    if not every:
        return series
    last = stage.spec.total_steps
    return {
        name: {step: v for step, v in values.items() if step % every == 0 or step == last}
        if name.startswith("val-")
        else values
        for name, values in series.items()
    }


def _by_metric(
    rows: Iterable[Mapping[str, Any]], wanted: Callable[[str], bool]
) -> dict[str, dict[int, float]]:
    series: dict[str, dict[int, float]] = {}
    names: dict[str, str | None] = {}
    for row in rows:
        step, data = row["step"], row["data"]
        here: set[str] = set()
        for logged, value in data.items():
            if logged not in names:
                name = validation_name(logged) or logged  # verl chooses the names of validation metrics
                names[logged] = name if wanted(name) else None
            kept = names[logged]
            finite = None if kept is None else number(value)
            if kept is None or finite is None:
                continue
            if kept in here:
                # some answers lack it: verl logs several means, and not of how many answers each is
                series[kept].pop(step, None)
            else:
                series.setdefault(kept, {})[step] = finite
                here.add(kept)
    return series
