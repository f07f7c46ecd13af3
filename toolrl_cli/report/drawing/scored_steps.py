"""Curves of a benchmark's scores over the steps of RL, where models on the way were scored."""

from __future__ import annotations

from collections.abc import Sequence

from toolrl_cli.report.sources.results import Evaluation, Run
from toolrl_cli.report.units import checked
from toolrl_cli.spec.benchmarks import OVERALL

MEASURES = (OVERALL, "accuracy")
"""Names of the score that stands for a whole benchmark; the first that it has is drawn."""


def scored_on_the_way(run: Run) -> list[tuple[int, Evaluation]]:
    """(step, evaluation) of a run's curves, ascending by step, its last model included; empty where it has none."""
    points = [(run.point(e), e) for e in run.evaluations]
    curved = {e.benchmark for step, e in points if step}
    last = [e for step, e in points if step is None and e.origin.rule == "last"]
    ends = {e.benchmark: e.origin.step for e in last if e.origin.trained and e.origin.trained.kind == "rl"}
    found = [
        (ends.get(e.benchmark) if step is None else step, e) for step, e in points if e.benchmark in curved
    ]
    return sorted(((step, e) for step, e in found if step is not None), key=lambda point: point[0])


def benchmarks_on_the_way(runs: Sequence[Run]) -> list[str]:
    """The benchmarks that any of the runs has a curve for, in their order."""
    return list(dict.fromkeys(e.benchmark for run in runs for _, e in scored_on_the_way(run)))


def scores_by_step(run: Run, benchmark: str) -> dict[int, float]:
    """Step → percent of a benchmark's items that are answered right; steps that have no score yet are left out."""
    found: dict[int, float] = {}
    for step, evaluation in scored_on_the_way(run):
        name = next((m for m in MEASURES if m in evaluation.metrics), None)
        if evaluation.benchmark != benchmark or name is None:
            continue
        value = checked(evaluation.metrics[name], "percent").value
        if value is not None:
            found[step] = 100 * value
    return found
