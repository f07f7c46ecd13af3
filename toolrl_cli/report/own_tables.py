"""Tables of evaluations of the user's own, whose columns are their metrics."""

from __future__ import annotations

from collections.abc import Sequence

from toolrl_cli.report.sources.results import Evaluation, Sweep
from toolrl_cli.report.table_spec import RESERVED, ColumnSpec, TableSpec, shipped_tables


def own_tables(sweeps: Sequence[Sweep]) -> list[TableSpec]:
    """A table for each own evaluation of these sweeps, in their order; one column until there are scores."""
    found: dict[str, list[Evaluation]] = {}
    for evaluation in (e for sweep in sweeps for run in sweep.runs for e in run.evaluations):
        if evaluation.stage.spec.config.get("own"):
            found.setdefault(evaluation.benchmark, []).append(evaluation)
    return [_table(name, evaluations) for name, evaluations in found.items()]


def _table(name: str, evaluations: Sequence[Evaluation]) -> TableSpec:
    values: dict[str, list[float]] = {}
    for evaluation in evaluations:
        for metric, score in evaluation.metrics.items():
            values.setdefault(metric, []).extend([] if score.value is None else [score.value])
    taken = name.lower() in RESERVED or name in shipped_tables()
    columns = [
        ColumnSpec(name=metric, label=metric, unit="percent" if all(0 <= v <= 1 for v in known) else "count")
        for metric, known in values.items()
    ] or [ColumnSpec(name="overall", label="overall")]
    return TableSpec(
        name=f"own-{name}" if taken else name,
        title=name,
        caption="An evaluation of one's own; values from 0 to 1 are shares, in %.",
        benchmark=name,
        columns=columns,
    )
