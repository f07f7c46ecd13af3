"""Compares cells with printed numbers, and builds tables of printed numbers alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from toolrl_cli.errors import SpecError
from toolrl_cli.report.cells import head_of
from toolrl_cli.report.model import Cell, Head, Printed, Row, Table, rounded
from toolrl_cli.report.sources.published import (
    EXEC_FREE_ERROR,
    PAPER,
    Published,
    PublishedCell,
    all_published,
    comparable,
    exec_free_overall,
    load_published,
    sources,
)
from toolrl_cli.report.statistics.basics import CONFIDENCE, MIN_SEEDS, spread, t_quantile
from toolrl_cli.report.statistics.items import wilson, wilson_error
from toolrl_cli.report.statistics.seeds import ITEMS, WELCH, Part, satterthwaite
from toolrl_cli.report.table_spec import ColumnSpec, TableSpec
from toolrl_cli.spec.suggest import hint_for


def beside(cell: Cell, head: Head, theirs: PublishedCell, published: Published) -> Cell:
    """One of our cells with the printed number and the difference, or the reason why there is none."""
    protocol = cell.conditions.get("protocol", "")
    printed = _printed(theirs)
    if cell.mean is None or theirs.impossible:
        return replace(cell, printed=printed)
    if comparable(theirs.metric, theirs.protocol, protocol):
        difference = rounded(cell.mean - theirs.target, head.precision)
        error = error_of(cell, theirs.target, head)
        return replace(cell, printed=replace(printed, difference=difference, difference_error=error))
    ours = protocol or "an unnamed protocol"
    refused = replace(printed, refusal=f"n/c, printed under {theirs.protocol} and ours scored under {ours}")
    derived = exec_free_overall(published, theirs) if theirs.metric == "overall" else None
    if derived is None or protocol != "bfcl_v3":
        return replace(cell, printed=refused)
    value = rounded(derived, head.precision)
    offered = replace(
        refused,
        derived=value,
        derived_error=EXEC_FREE_ERROR,
        difference=rounded(cell.mean - value, head.precision),
        difference_error=error_of(cell, value, head, EXEC_FREE_ERROR),
    )
    return replace(cell, printed=offered)


def error_of(cell: Cell, printed: float, head: Head, derived: float = 0.0) -> float | None:
    """Half-width of the 95 % interval of our mean minus a printed number, which is one run's.

    That run is taken to vary over seeds as ours do (Student's prediction interval); where we count items, the printed
    number's own sampling error on as many items is added, and ours. None where our seeds show no spread.

    Args:
        derived: error of the printed number itself, if it was derived.
    """
    values = cell.values
    if len(values) < MIN_SEEDS or not cell.sample.varies:
        return None
    parts = [Part(spread(values) ** 2 * (1 + 1 / len(values)), len(values) - 1, WELCH)]
    if cell.sampling is not None:
        total = round(head.limit / cell.resolution)
        right = min(total, max(0, round(printed / cell.resolution)))
        low, high = wilson(right, total)
        theirs = wilson_error(head.limit * (high - low) / 2)
        parts.append(Part(theirs**2 + wilson_error(cell.sampling) ** 2, math.inf, ITEMS))
    variance = math.fsum(part.variance for part in parts)
    half = t_quantile(satterthwaite(parts), 0.5 + CONFIDENCE / 2) * math.sqrt(variance)
    return rounded(half + derived, head.precision)


def published_model(published: Published, table: str, model: str) -> str:
    """A model's name as printed; our own name if the model is not printed."""
    return next((m for m in published.models(table) if m.lower() == model.lower()), model)


def published_note(table: str | None, published: Published, rows: Sequence[Row]) -> str:
    """The note on the printed numbers in a table's rows: their source, or why there are none."""
    source = published.source
    if any(cell.printed for row in rows for cell in row.cells.values()):
        return f"Published: {sources()[source]}."
    models = published.models(table or "")
    if models:
        return f"What {source!r} published of this table (on {', '.join(models)}) fits no row here."
    return f"Nothing that {source!r} published belongs in this table; `--table` names one that does."


def published_table(spec: TableSpec, source: str) -> Table:
    """The printed table alone, in the rows and columns of its declaration.

    Raises:
        SpecError: the declaration reproduces no printed table, or the source has no numbers of it.
    """
    published = load_published(source)
    if spec.published is None or isinstance(spec.rows, str):
        printed = sorted({c.table for c in all_published() if c.source == source})
        raise SpecError(
            f"table {spec.name!r} was never printed", "--published-only", f"printed: {', '.join(printed)}"
        )
    models = published.models(spec.published)
    if not models:
        have = sorted({c.source for c in all_published() if c.table == spec.published})
        hint = hint_for(source, have, "sources")
        raise SpecError(f"{source!r} printed nothing of table {spec.name}", "--against", hint)
    cells = [c for c in published.cells if c.table == spec.published]
    settings = {row.name: row.label for row in spec.rows}
    settings |= {c.setting: c.label for c in cells if c.setting not in settings}
    columns = _printed_columns(spec, cells)
    heads = tuple(head_of(c, spec) for c in columns)
    rows: list[Row] = []
    for model in models:
        for setting, label in settings.items():
            row = {c.name: _alone(published, spec.published, model, setting, c) for c in columns}
            if any(cell.printed for cell in row.values()):
                rows.append(Row(f"{model} / {label}", label, setting, model, row))
    rows = _best_printed(rows, heads)
    protocols = ", ".join(dict.fromkeys(c.protocol for c in cells))
    notes = [f"As printed: {sources()[source]}; scored under {protocols}."]
    title = spec.title
    if source == PAPER:
        notes = [n for n in (spec.caption, *notes) if n]
    else:
        title = f"{source}, beside: {title}"
    return Table(spec.name, title, heads, tuple(rows), tuple(notes), published_only=True)


def _printed_columns(spec: TableSpec, cells: Sequence[PublishedCell]) -> list[ColumnSpec]:
    """The table's columns that have printed numbers, then columns that only the source has."""
    metrics = dict.fromkeys(c.metric for c in cells)
    known = [c for c in spec.columns if (c.metric or c.name) in metrics]
    beyond = metrics.keys() - {c.metric or c.name for c in known}
    return known + [_own_column(m, [c for c in cells if c.metric == m]) for m in metrics if m in beyond]


def _own_column(metric: str, cells: Sequence[PublishedCell]) -> ColumnSpec:
    """A column that only this source has, with as many decimals as printed."""
    words = [{"ast": "AST", "non": "Non-"}.get(word, word) for word in metric.split("_")]
    label = " ".join(words).replace("- ", "-")
    decimals = max(len(c.text.partition(".")[2]) for c in cells)
    return ColumnSpec(name=metric, label=label[:1].upper() + label[1:], direction="none", precision=decimals)


def _printed(cell: PublishedCell) -> Printed:
    return Printed(cell.value, cell.source, cell.table, cell.protocol, cell.commit, cell.mark)


def _alone(published: Published, table: str, model: str, setting: str, column: ColumnSpec) -> Cell:
    found = published.find(table, model, setting, column.metric or column.name)
    if found is None:
        return Cell(notes=("not printed",))
    return Cell(state="", printed=_printed(found))


def _best_printed(rows: list[Row], heads: tuple[Head, ...]) -> list[Row]:
    """Mark best and second of each model by the printed digits; impossible rows are left out."""
    marked = list(rows)
    for group in dict.fromkeys(r.group for r in rows):
        for head in heads:
            values: dict[int, float] = {}
            for i, row in enumerate(marked):
                printed = row.cells[head.name].printed
                if row.group == group and printed is not None and not printed.impossible:
                    values[i] = printed.value
            if head.direction == "none" or len(values) < 2:
                continue
            best, *others = sorted(set(values.values()), reverse=head.direction == "higher")
            for i, value in values.items():
                cell = replace(marked[i].cells[head.name], best=value == best, second=value in others[:1])
                marked[i] = replace(marked[i], cells={**marked[i].cells, head.name: cell})
    return marked
