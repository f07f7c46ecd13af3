"""Curves of a benchmark's scores over the steps of RL, where models on the way were scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from toolrl_cli.report.arms import Arm
from toolrl_cli.report.comparability import apart
from toolrl_cli.report.sources.results import Evaluation, Run
from toolrl_cli.report.units import checked
from toolrl_cli.spec.evaluations.benchmarks import OVERALL

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
    return {step: value for step, _, value in _scored(run, benchmark)}


def steps_apart(runs: Iterable[Run], benchmark: str) -> str:
    """In which conditions the points of these runs' curves were scored differently, in words; empty if in none."""
    return apart(evaluation.conditions for run in runs for _, evaluation, _ in _scored(run, benchmark))


def apart_in_curves(arms: Sequence[Arm], benchmark: str) -> tuple[str, ...]:
    """What has to be said of curves that cannot be averaged over their seeds, or not be compared."""
    told: list[str] = []
    drawn: list[Run] = []
    for arm in arms:
        why = steps_apart(arm.runs, benchmark)
        if why:
            told.append(f"No {benchmark} score of {arm.name}: its points were scored differently ({why}).")
        else:
            drawn += arm.runs
    why = steps_apart(drawn, benchmark)
    told += (
        [f"{benchmark} score: arms were scored differently ({why}) and cannot be compared."] if why else []
    )
    return tuple(told)


def _scored(run: Run, benchmark: str) -> Iterator[tuple[int, Evaluation, float]]:
    for step, evaluation in scored_on_the_way(run):
        name = next((m for m in MEASURES if m in evaluation.metrics), None)
        if evaluation.benchmark != benchmark or name is None:
            continue
        value = checked(evaluation.metrics[name], "percent").value
        if value is not None:
            yield step, evaluation, 100 * value
