"""What owed stages will take: time, GPU-hours, GPU memory and disk, as low–expected–high.

Times come from finished stages of the same results root, by a ladder of similarity:

1. the same recipe: equal identity but for seeds, on the same kind and number of devices;
2. the same kind of work (algorithm, split or benchmark) on the same model, scaled by steps and sequences;
3. the same kind of stage on any model, scaled by parameters too, where both sizes are known and within a
   factor 10.

The bounds are what was observed, widened by a factor for each rung (`WIDENED`). Where a length limit or the
number of GPUs differs, the truth lies between no effect and a proportional one; both become bounds and their
middle the expectation. An RL training of which nothing is known here is given what others report for the
paper's settings (`published_times`), labelled so, and an export on GPUs what reading and writing its weights
takes. Everything else is unknown, and is shown as that.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from toolrl_cli.planning.forecasts import published_times, sizes
from toolrl_cli.planning.forecasts.calibration import Calibration, Point
from toolrl_cli.planning.forecasts.ranges import NONE, Range, between, exactly
from toolrl_cli.planning.forecasts.work import Work, Works
from toolrl_cli.planning.plan import PlannedStage
from toolrl_cli.spec.stage_kind import training_settings, trains
from toolrl_cli.training.models.gpu_memory import chosen_offload, parameters_text
from toolrl_cli.wording import counted

WIDENED = {"recipe": 1.1, "model": 1.5, "kind": 3.0}
"""Factor by which a rung's observed bounds are moved apart: chosen, not measured."""
RUNGS = {"recipe": "the same recipe", "model": "the same work on this model", "kind": "stages of this kind"}
SIZE_REACH = 10.0

Ladder = Sequence[tuple[str, list[Point]]]
"""Rungs on which there is anything, nearest first, with their finished stages."""


@dataclass(frozen=True)
class Estimate:
    """What one owed stage will take; None: unknown.

    Attributes:
        seconds: of wall clock, once it has its slots.
        gpu_hours: the same on all its GPUs; 0 on a CPU.
        gpu_memory: peak bytes on each GPU; None on a CPU, where it does not apply.
        memory: peak bytes on the machine, without what else runs there.
        disk: bytes that it adds to the results root.
        device: `cpu` or `cuda`.
        sources: field → where the numbers come from, or why there are none.
    """

    seconds: Range | None
    gpu_hours: Range | None
    gpu_memory: Range | None
    memory: Range | None
    disk: Range | None
    device: str
    sources: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The value of `estimate` in `plan --json`."""
        names = ("seconds", "gpu_hours", "gpu_memory", "memory", "disk")
        found = {name: getattr(self, name) for name in names}
        return {
            **{name: value.to_json() if value else None for name, value in found.items()},
            "device": self.device,
            "sources": dict(self.sources),
        }


class Estimator:
    """Estimates stages; what it has found for one it keeps for its like.

    Args:
        works: tells what a stage has to do.
        calibration: the finished stages.
        gpu_total: bytes of one GPU here, or None.
    """

    def __init__(self, works: Works, calibration: Calibration, gpu_total: int | None = None) -> None:
        self._works = works
        self._calibration = calibration
        self._gpu_total = gpu_total
        self._whole: dict[tuple[object, ...], Estimate] = {}

    def estimate(self, stage: PlannedStage) -> Estimate:
        """What is left to do of a stage."""
        work = self._works.of(stage.spec)
        finished = self._calibration.recipes(work.kind)
        recipe = self._works.recipe(stage.spec) if finished else ""
        # of a recipe that nothing was finished of, only the shape matters: a large grid has few of them
        key = (recipe, work.shape) if recipe in finished else work.shape
        if key not in self._whole:
            self._whole[key] = self._estimate(work, self._ladder(work, recipe))
        whole = self._whole[key]
        left = share_left(stage)
        if left == 1.0 or whole.seconds is None:
            return whole
        seconds = whole.seconds * left
        sources = {**whole.sources, "seconds": f"{left:.0%} of it left; {whole.sources['seconds']}"}
        hours = gpu_hours(seconds, work)
        return replace(whole, seconds=seconds, gpu_hours=hours, sources=sources)

    def _estimate(self, work: Work, ladder: Ladder) -> Estimate:
        seconds, how = self._seconds(work, ladder)
        gpu_memory, gpu_memory_how = self._gpu_memory(work, ladder)
        memory, memory_how = sizes.memory(work)
        disk, disk_how = self._disk(work, ladder)
        return Estimate(
            seconds,
            gpu_hours(seconds, work),
            gpu_memory,
            memory,
            disk,
            work.device,
            {"seconds": how, "gpu_memory": gpu_memory_how, "memory": memory_how, "disk": disk_how},
        )

    def _seconds(self, work: Work, ladder: Ladder) -> tuple[Range | None, str]:
        for rung, points in ladder:
            found = measured_seconds(work, points)
            if found is not None:
                return found.widened(WIDENED[rung]), _measured(rung, points)
        if work.kind == "rl" and work.device == "cuda" and work.size is not None:
            critic = work.training is not None and work.training.networks > 1
            published = published_times.nearest_published("ppo" if critic else "grpo", work.size.parameters)
            if published is not None:
                slower = "; slower with all of it offloaded" if _rests_always(work) else ""
                return published_seconds(work, published), f"published: {published.source}{slower}"
        # so that a budget of GPU-hours can be kept from the start: a merge holds a GPU's slot
        reckoned = sizes.export_seconds(work) if work.device == "cuda" else None
        return reckoned or (None, f"unknown: no finished {work.kind} stage to go by")

    def _gpu_memory(self, work: Work, ladder: Ladder) -> tuple[Range | None, str]:
        if work.device == "cpu":
            return None, "runs on the CPU"
        for rung, points in ladder:
            peaks = [p.took.peak_memory for p in points if p.took.peak_memory is not None]
            # of other models or lengths the arithmetic knows more
            if peaks and rung == "recipe":
                found = Range(min(peaks), statistics.fmean(peaks), max(peaks))
                return found.widened(WIDENED[rung]), f"{_measured(rung, points)} (the trainer alone)"
        reckoned = sizes.gpu_memory(work, self._gpu_total or work.gpu_memory)
        if reckoned is not None:
            return reckoned
        if work.kind == "export":
            return exactly(0.0), "merges on the CPU"
        if work.size is None:
            return None, "unknown: the model's size is not known here"
        return None, f"unknown: nothing to reckon an {work.kind} stage's memory by"

    def _disk(self, work: Work, ladder: Ladder) -> tuple[Range | None, str]:
        for rung, points in ladder:
            used = [p.took.disk for p in points if p.took.disk > 0]
            if used and rung == "recipe":
                found = Range(min(used), statistics.fmean(used), max(used))
                return found.widened(WIDENED[rung]), _measured(rung, points)
        reckoned = sizes.disk(work)
        if reckoned is None:
            return None, "unknown: the model's size is not known here"
        known = work.size if work.kind != "evaluate" else None
        size = f": {parameters_text(known)} parameters" if known else ""
        return reckoned, f"arithmetic{size}"

    def _ladder(self, work: Work, recipe: str) -> Ladder:
        """The rungs on which there is anything, nearest first."""
        alike = [p for p in self._calibration.points(work.kind) if p.took.device == work.device]
        same = [p for p in alike if p.work.what == work.what and p.work.model == work.model]
        rungs = {
            "recipe": [p for p in same if p.recipe == recipe],
            "model": same,
            "kind": [p for p in alike if _within_reach(p.work, work)],
        }
        return [(rung, points) for rung, points in rungs.items() if points]


def gpu_hours(seconds: Range | None, work: Work) -> Range | None:
    """GPU-hours of a time on a stage's slots; none on a CPU, even where the time is unknown."""
    if work.device == "cpu":
        return NONE
    return seconds * (work.gpus / 3600) if seconds is not None else None


def share_left(stage: PlannedStage) -> float:
    """The share of a stage's steps that is still to do, going on from its last checkpoint.

    An attempt under way has its progress behind it; a stage that ended between two checkpoints repeats the
    steps since the last one.
    """
    state, spec = stage.state, stage.spec
    if state is None or state.progress is None or not spec.total_steps:
        return 1.0
    done = state.progress.step
    if not state.active:
        every = training_settings(spec).save_every if trains(spec.kind) else None
        done = done // every * every if every else 0
    return min(1.0, max(0.0, 1.0 - done / spec.total_steps))


def measured_seconds(work: Work, points: Sequence[Point]) -> Range | None:
    """The time of some work, from what like work took; None where nothing tells.

    Where the time of a step is known, start-up and steps are reckoned apart: the bounds are the 10 % and 90 %
    quantiles of the steps, and the least and greatest start-up. Otherwise the whole time is scaled, which lies
    between not at all (all start-up) and in proportion.
    """
    split = [p for p in points if p.took.step_seconds]
    steps = work.steps or next((p.took.steps for p in points if p.took.steps), None)
    if split and steps:
        start_ups = [p.took.start_up for p in split if p.took.start_up is not None]
        scales = [(p, _scale(work, p)) for p in split]
        pool = [(second, scale) for p, scale in scales for second in p.took.step_seconds]
        times = sorted(second * scale.expected for second, scale in pool)
        low = _quantile(times, 0.1) * min(s.low / s.expected for _, s in scales)
        high = _quantile(times, 0.9) * max(s.high / s.expected for _, s in scales)
        mean = statistics.fmean(times)
        per_step = Range(min(low, mean), mean, max(high, mean))
        start_up = Range(min(start_ups), statistics.fmean(start_ups), max(start_ups)) if start_ups else NONE
        return start_up + per_step * steps
    wholes = [
        between(p.took.seconds, p.took.seconds * _amount(work, p)).scaled(_scale(work, p, units=False))
        for p in points
        if p.took.seconds is not None
    ]
    if not wholes:
        return None
    return Range(
        min(w.low for w in wholes), statistics.fmean(w.expected for w in wholes), max(w.high for w in wholes)
    )


def published_seconds(work: Work, published: published_times.PublishedTime) -> Range:
    """The time of an RL training from what somebody reports, scaled by steps, responses, model and GPUs."""
    parameters = work.size.parameters / 1e9 if work.size else published.parameters
    scale = (work.steps or published.steps) / published.steps * parameters / published.parameters
    scale *= work.units / published_times.RESPONSES[published.algorithm]
    expected = published.gpu_hours * 3600 * scale / work.gpus
    return exactly(expected).widened(published_times.SPREAD)


def _rests_always(work: Work) -> bool:
    return work.training is not None and chosen_offload(work.training, work.size) == "always"


def _scale(work: Work, point: Point, *, units: bool = True) -> Range:
    """How a step's time differs from that of the measured work."""
    seen = point.work
    factor = exactly(work.units / max(1, seen.units)) if units else exactly(1.0)
    if work.model != seen.model and work.size and seen.size:
        factor = factor * (work.size.parameters / seen.size.parameters)
    factor = factor.scaled(between(1.0, work.length / max(1, seen.length)))
    return factor.scaled(between(1.0, point.took.gpus / work.gpus))


def _amount(work: Work, point: Point) -> float:
    """How much more there is to do altogether than in the measured work."""
    steps = work.steps / point.took.steps if work.steps and point.took.steps else 1.0
    return steps * work.units / max(1, point.work.units)


def _within_reach(seen: Work, work: Work) -> bool:
    if work.kind == "evaluate" and seen.what != work.what:
        return False  # one benchmark's time says nothing of another's
    if seen.model == work.model:
        return True
    if not seen.size or not work.size:
        return False
    ratio = seen.size.parameters / work.size.parameters
    return 1 / SIZE_REACH <= ratio <= SIZE_REACH


def _quantile(ascending: Sequence[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


def _measured(rung: str, points: Sequence[Point]) -> str:
    return f"measured: {RUNGS[rung]}, {counted(len(points), 'finished stage')}"
