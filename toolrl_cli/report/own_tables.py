"""Tables of evaluations of the user's own, whose columns are their metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence

from toolrl_cli.report.sources.results import Evaluation, Sweep
from toolrl_cli.report.table_spec import MOST_DECIMALS, RESERVED, ColumnSpec, TableSpec, shipped_tables
from toolrl_cli.report.units import unit_of
from toolrl_cli.store.scores import Score


def own_tables(sweeps: Sequence[Sweep]) -> list[TableSpec]:
    """A table for each own evaluation of these sweeps, in their order; one column until there are scores."""
    found: dict[str, list[Evaluation]] = {}
    for evaluation in (e for sweep in sweeps for run in sweep.runs for e in run.evaluations):
        if evaluation.stage.spec.config.get("own"):
            found.setdefault(evaluation.benchmark, []).append(evaluation)
    return [_table(name, evaluations) for name, evaluations in found.items()]


def _table(name: str, evaluations: Sequence[Evaluation]) -> TableSpec:
    scores: dict[str, list[Score]] = {}
    for evaluation in evaluations:
        for metric, score in evaluation.metrics.items():
            scores.setdefault(metric, []).append(score)
    taken = name.lower() in RESERVED or name in shipped_tables()
    columns = [_column(name, metric, found) for metric, found in scores.items()]
    mixed = [
        column.name
        for column in columns
        if column.unit == "count" and {v > 1 for s in scores[column.name] if (v := s.value)} == {True, False}
    ]
    told = f" Values on both sides of 1, as they are: {', '.join(mixed)}." if mixed else ""
    return TableSpec(
        name=f"own-{name}" if taken else name,
        title=name,
        caption=f"An evaluation of one's own; shares are in %, other numbers as they are.{told}",
        benchmark=name,
        columns=columns or [ColumnSpec(name="overall", label="overall")],
    )


def _column(benchmark: str, metric: str, scores: Sequence[Score]) -> ColumnSpec:
    unit = unit_of(benchmark, metric, scores)
    if unit == "percent":
        return ColumnSpec(name=metric, label=metric)
    values = [score.value for score in scores if score.value is not None]
    return ColumnSpec(  # which of two is better, a loss or a length, is not known
        name=metric, label=metric, unit=unit, direction="none", precision=_decimals(values)
    )


def _decimals(values: Sequence[float]) -> int | None:
    """Those that show three significant digits of each value; the table's where all are whole numbers."""
    if all(value == round(value) for value in values):
        return None
    smallest = min(abs(value) for value in values if value)
    return min(max(1, 2 - math.floor(math.log10(smallest))), MOST_DECIMALS)
