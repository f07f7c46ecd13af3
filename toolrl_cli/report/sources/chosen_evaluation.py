"""Chooses the checkpoint of each run that a table shows, and describes it in the caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from toolrl_cli.report.model import Row
from toolrl_cli.report.sources.results import Evaluation, Origin, Run, Stage
from toolrl_cli.report.table_spec import BestRule, Checkpoint, StepRule

Validation = Callable[[Stage, str], Mapping[int, float]]
"""(training stage, metric) → value by step."""

_WORDS = {"last": "the last of each run", "best": "the best by validation of each run"}
_NAMED = 3
"""Most rows that a note names; for more it gives their number."""


def choose(run: Run, benchmark: str, rule: Checkpoint, validation: Validation) -> Evaluation | None:
    """The evaluation of a run that a table shows; None if the rule excludes all, or nothing tells the best.

    If only one checkpoint was evaluated, it is taken, unless the rule names a step: the checkpoint to export was
    chosen before the training, and the caption names it. Points of a curve (`evaluate: [{benchmark:, every:}]`) are
    taken by a rule that names a step or a metric, and never the model that RL started from.
    """
    by_step = isinstance(rule, (StepRule, BestRule))
    on_the_way = {e.stage.id: run.point(e) for e in run.evaluations if e.benchmark == benchmark}
    found = [
        e
        for e in run.evaluations
        if e.benchmark == benchmark and ((point := on_the_way[e.stage.id]) is None or (by_step and point > 0))
    ]
    if isinstance(rule, StepRule):
        return next((e for e in found if e.origin.trained is None or e.origin.step == rule.step), None)
    if len(found) < 2:
        return found[0] if found else None
    if isinstance(rule, BestRule):
        sign = 1 if rule.direction == "higher" else -1
        judged = []
        for evaluation in found:
            trained, step = evaluation.origin.trained, evaluation.origin.step
            curve = validation(trained, rule.best) if trained else {}
            if step is not None and step in curve:
                judged.append((sign * curve[step], -step, evaluation))
        if judged:
            # of equally good checkpoints, the earlier one: it cost less
            return max(judged, key=lambda j: j[:2])[2]
        if any(e.metrics for e in found):
            return None
    wanted = "best" if rule == "best" else "last"
    return max(found, key=lambda e: (e.origin.rule == wanted, e.origin.step or -1))


def checkpoint_of(run: Run, origin: Origin) -> str:
    """How the evaluated checkpoint was chosen: `last`, `best` or `step N`; empty for an untrained model."""
    if origin.trained is None or origin.trained is run.pretraining:
        return ""
    return origin.rule or f"step {origin.step}"


def rule_in_words(rule: Checkpoint) -> str:
    """A table's rule as a noun phrase."""
    if isinstance(rule, StepRule):
        return f"the checkpoint of step {rule.step}"
    return f"the checkpoint best by {rule.best}" if isinstance(rule, BestRule) else f"the {rule} checkpoint"


def checkpoint_note(rows: Sequence[Row], rule: Checkpoint) -> str:
    """The checkpoints that a table's values come from, in words; empty where nothing was trained or has a value."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        for cell in row.cells.values():
            for source in cell.sources:
                if source.value is not None and source.checkpoint:
                    found.setdefault(source.checkpoint, {})[row.arm] = None
    if not found:
        return ""
    if len(found) == 1:
        return f"Checkpoint: {_words(next(iter(found)))}."
    if isinstance(rule, BestRule) and not found.keys() & _WORDS.keys():
        return f"Checkpoint: of each run, the best by {rule.best} of those evaluated where it was measured."
    told = "; ".join(f"{_words(word)} for {_named(list(arms))}" for word, arms in found.items())
    return f"Checkpoints are not chosen alike: {told}."


def _words(word: str) -> str:
    return _WORDS.get(word, f"{word} of each run")


def _named(arms: Sequence[str]) -> str:
    return ", ".join(arms) if len(arms) <= _NAMED else f"{len(arms)} rows"
