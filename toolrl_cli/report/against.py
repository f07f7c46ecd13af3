"""Our cells beside printed ones, and printed tables alone."""

from __future__ import annotations

from dataclasses import replace

from toolrl_cli.errors import SpecError
from toolrl_cli.report.cells import head_of
from toolrl_cli.report.model import Cell, Head, Printed, Row, Table, rounded
from toolrl_cli.report.published import (
    EXEC_FREE_ERROR,
    Published,
    PublishedCell,
    all_published,
    comparable,
    exec_free_overall,
    load_published,
    sources,
)
from toolrl_cli.report.table_spec import ColumnSpec, TableSpec
from toolrl_cli.spec.suggest import hint_for


def beside(cell: Cell, head: Head, theirs: PublishedCell, published: Published, protocol: str) -> Cell:
    """A cell of ours with the printed number, their difference, or why there is none.

    Args:
        protocol: how our value was scored, empty where there is none.
    """
    printed = Printed(theirs.value, theirs.source, mark=theirs.mark)
    if cell.mean is None or theirs.impossible:
        return replace(cell, printed=printed)
    if comparable(theirs.metric, theirs.protocol, protocol):
        difference = rounded(cell.mean - theirs.value, head.precision)
        return replace(cell, printed=replace(printed, difference=difference))
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
    )
    return replace(cell, printed=offered)


def published_model(published: Published, table: str, model: str) -> str:
    """A model's name as printed, or as we have it where it is not printed."""
    return next((m for m in published.models(table) if m.lower() == model.lower()), model)


def published_table(spec: TableSpec, source: str) -> Table:
    """The printed table alone, in the rows and columns of its declaration.

    Raises:
        SpecError: the declaration reproduces no printed table, or this source printed none of it.
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
    heads = tuple(head_of(c, spec) for c in spec.columns)
    rows: list[Row] = []
    for model in models:
        for row in spec.rows:
            cells = {c.name: _alone(published, spec.published, model, row.name, c) for c in spec.columns}
            if any(cell.printed for cell in cells.values()):
                rows.append(Row(f"{model} / {row.label}", row.label, model, cells))
    rows = _best_printed(rows, heads)
    notes = (spec.caption, f"As printed: {sources()[source]}.")
    return Table(spec.name, spec.title, heads, tuple(rows), tuple(n for n in notes if n), published_only=True)


def _alone(published: Published, table: str, model: str, setting: str, column: ColumnSpec) -> Cell:
    found = published.find(table, model, setting, column.metric or column.name)
    if found is None:
        return Cell(note="not printed")
    return Cell(state="", note="", printed=Printed(found.value, found.source, mark=found.mark))


def _best_printed(rows: list[Row], heads: tuple[Head, ...]) -> list[Row]:
    """Mark best and second of each model by the printed digits, impossible rows left out."""
    marked = list(rows)
    for group in dict.fromkeys(r.group for r in rows):
        for head in heads:
            values = {
                i: r.cells[head.name].printed.value  # type: ignore[union-attr]
                for i, r in enumerate(marked)
                if r.group == group
                and r.cells[head.name].printed
                and not r.cells[head.name].printed.mark.startswith("impossible")  # type: ignore[union-attr]
            }
            if head.direction == "none" or len(values) < 2:
                continue
            ranks = sorted(set(values.values()), reverse=head.direction == "higher")
            for i, value in values.items():
                best, second = value == ranks[0], len(ranks) > 1 and value == ranks[1]
                if best or second:
                    cell = replace(marked[i].cells[head.name], best=best, second=second)
                    marked[i] = replace(marked[i], cells={**marked[i].cells, head.name: cell})
    return marked
