"""What a user's own table asks for and nothing has: settings, rows, filters, columns and categories that are misspelt.

A shipped table may well have rows and columns that a sweep does not fill; in one's own they are most likely a mistake.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.report.arms import PER_RUN, Arm, by_value, fitting, holds, setting_text
from toolrl_cli.report.sources.chosen_evaluation import Validation
from toolrl_cli.report.sources.results import short_name
from toolrl_cli.report.table_spec import BestRule, TableSpec, is_shipped
from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps.fields import check_setting
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.training.reward_metrics import validation_name

_OF_RUNS = ("arm", "train", *PER_RUN)
"""Keys of a condition that are no settings."""


def unmet_conditions(spec: TableSpec, arms: Sequence[Arm]) -> list[str]:
    """Lines on conditions of a table that no arm meets.

    Args:
        spec: the table.
        arms: all of them, before the table's filter.
    """
    if not arms or is_shipped(spec):
        return []
    lines = list(_unmet("The filter", spec.filter, arms))
    if spec.group_by is not None:
        lines += _unknown("group_by", spec.group_by, arms)
    known = fitting(arms, spec.filter)
    for row in spec.rows if isinstance(spec.rows, list) and known else ():
        lines += _unmet(f"Row {row.name!r}", row.where, known)
    return lines


def unmet_columns(spec: TableSpec, arms: Sequence[Arm]) -> list[str]:
    """Lines on columns that no scores have, and on categories that a benchmark has not; arguments as above."""
    if is_shipped(spec):
        return []
    lines = []
    for column in spec.columns:
        benchmark, metric = column.benchmark or spec.benchmark, column.metric or column.name
        scores = [
            e.metrics for arm in arms for run in arm.runs for e in run.evaluations if e.benchmark == benchmark
        ]
        known = {name for metrics in scores for name in metrics}
        if known and metric not in known:
            hint = hint_for(metric, known, "metrics")
            lines.append(f"Column {column.name!r}: no scores of {benchmark} have {metric!r} ({hint}).")
        categories = BENCHMARKS.get(benchmark).categories if benchmark in BENCHMARKS else ()
        for name in column.categories or () if categories else ():
            if name not in categories:
                hint = hint_for(name, categories, "categories")
                lines.append(f"Column {column.name!r}: {benchmark} has no category {name!r} ({hint}).")
    return lines


def unmet_checkpoint(spec: TableSpec, arms: Sequence[Arm], validation: Validation) -> list[str]:
    """A line on a metric to choose checkpoints by that no training logged; arguments as above."""
    rule = spec.checkpoint
    if not isinstance(rule, BestRule) or is_shipped(spec):
        return []
    origins = (e.origin.trained for arm in arms for run in arm.runs for e in run.evaluations)
    trained = {stage.id: stage for stage in origins if stage is not None}.values()
    if any(validation(stage, rule.best) for stage in trained):
        return []
    logged: set[str] = set()
    for stage in trained:
        with contextlib.suppress(OSError, LedgerError):  # the cells say of what could not be read
            rows = merge_metrics(stage.directory)
            logged |= {validation_name(name) or name for row in rows for name in row["data"]}
    if not logged:
        return []
    return [f"Checkpoints: no training logged {rule.best!r} ({hint_for(rule.best, logged, 'metrics')})."]


def _unmet(what: str, conditions: Mapping[str, Any], arms: Sequence[Arm]) -> Iterator[str]:
    if any(holds(arm, conditions) for arm in arms):
        return
    for key, wanted in conditions.items():
        unknown = _unknown(what, key, arms)
        if unknown:
            yield from unknown
            return
        if not any(holds(arm, {key: wanted}) for arm in arms):
            found = {_text(part.lookup(key)) for arm in arms for part in by_value(arm, key).values()}
            hint = hint_for(_text(wanted), found, "values")
            yield f"{what} fits no arm: none has {key} {_text(wanted)} ({hint})."
            return
    yield f"{what} fits no arm: none meets all of {', '.join(conditions)}."


def _unknown(what: str, key: str, arms: Sequence[Arm]) -> list[str]:
    """A line where a key is no setting and no run has it: imported runs have keys of their own."""
    if key in _OF_RUNS or any(arm.lookup(key) is not None for arm in arms):
        return []
    try:
        check_setting(key, what)
    except SpecError as fault:
        return [f"{what} fits no arm: {key}: {fault.what} ({fault.hint})."]
    return []


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return short_name(value)
    return " or ".join(map(setting_text, value)) if isinstance(value, list) else setting_text(value)
