"""Arms over several tasks at once, as Agarwal et al. (2021) have it: few runs of each task, resampled within it.

A task is one model on one benchmark; its values are its seeds'. The bootstrap is stratified: each resample draws as
many seeds of every task as it has. With three seeds a task it is too narrow where there are few tasks; with one task
and three seeds it says little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from toolrl_cli.report.statistics.basics import CONFIDENCE

RESAMPLES = 2_000

Tasks = Sequence[Sequence[float]]
"""The values of each task, a seed each."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its percentile interval over stratified resamples."""

    value: float
    low: float
    high: float


def mean_over_tasks(tasks: Tasks) -> Estimate:
    """The mean of the tasks' means, each with equal weight."""
    return _estimated(lambda drawn: sum(d.mean(axis=1) for d in drawn) / len(drawn), tasks)


def interquartile_mean(tasks: Tasks) -> Estimate:
    """The mean of the middle half of all values of all tasks (SciPy's `trim_mean` of 25 %)."""
    return _estimated(_middle_half, tasks)


def improvement(a: Tasks, b: Tasks) -> Estimate:
    """The chance that a run of a is better than one of b on the same task, averaged over tasks; ties count half.

    Args:
        a, b: higher values are better; the same tasks in the same order.
    """

    def statistic(drawn: Sequence[Any]) -> Any:
        half = len(drawn) // 2
        wins = 0
        for x, y in zip(drawn[:half], drawn[half:], strict=True):
            pairs = x[:, :, None] - y[:, None, :]
            wins = wins + ((pairs > 0) + 0.5 * (pairs == 0)).mean(axis=(1, 2))
        return wins / half

    return _estimated(statistic, [*a, *b])


def profile(tasks: Tasks, thresholds: Sequence[float]) -> list[Estimate]:
    """For each threshold the share of runs above it, averaged over tasks, with pointwise intervals."""

    def above(at: float) -> Callable[[Sequence[Any]], Any]:
        return lambda drawn: sum((d > at).mean(axis=1) for d in drawn) / len(drawn)

    return [_estimated(above(at), tasks) for at in thresholds]


def _middle_half(drawn: Sequence[Any]) -> Any:
    import numpy as np

    values = np.sort(np.concatenate(drawn, axis=1), axis=1)
    cut = values.shape[1] // 4
    return values[:, cut : values.shape[1] - cut].mean(axis=1)


def _estimated(statistic: Callable[[Sequence[Any]], Any], tasks: Tasks) -> Estimate:
    """A statistic of the values as they are, and its percentiles over resamples; always the same draws."""
    import numpy as np

    arrays = [np.asarray(values, dtype=np.float64) for values in tasks]
    generator = np.random.default_rng(0)
    drawn = [values[generator.integers(len(values), size=(RESAMPLES, len(values)))] for values in arrays]
    low, high = np.quantile(statistic(drawn), [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Estimate(float(statistic([values[None] for values in arrays])[0]), float(low), float(high))
