"""Computes a table from its declaration and the results on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolrl_cli.report.against import beside, published_model, published_note
from toolrl_cli.report.arms import Arm, collect_arms, fitting, grouped
from toolrl_cli.report.cells import fill, head_of
from toolrl_cli.report.comparability import scored_apart
from toolrl_cli.report.comparisons.paired import test_of_items
from toolrl_cli.report.marks import Test, Tests, mark_best, mark_different
from toolrl_cli.report.model import Cell, Head, Row, Table
from toolrl_cli.report.sources.chosen_evaluation import Validation
from toolrl_cli.report.sources.published import Published
from toolrl_cli.report.sources.results import Sweep
from toolrl_cli.report.statistics.basics import Comparison
from toolrl_cli.report.statistics.seeds import compare
from toolrl_cli.report.table_notes import Place, apart_in_words, baseline_fault, left_over, notes_of
from toolrl_cli.report.table_spec import ColumnSpec, RowSpec, TableSpec
from toolrl_cli.report.unmet import unmet_checkpoint, unmet_columns, unmet_conditions
from toolrl_cli.wording import listed

REHEARSED = (
    "A rehearsal: a few steps of training and a few items of each benchmark. These numbers mean nothing."
)


def build_table(
    spec: TableSpec,
    sweeps: Sequence[Sweep],
    results: Path,
    validation: Validation,
    published: Published | None = None,
) -> Table:
    """Compute a table.

    Args:
        results: the results root, which paths are relative to.
        validation: returns a validation metric by step, for tables that choose checkpoints by one.
        published: printed numbers to compare with.
    """
    heads = [head_of(c, spec) for c in spec.columns]
    arms = collect_arms(sweeps)
    places = _places(spec, fitting(arms, spec.filter))
    labels = _group_labels(spec, places, published)
    rows = [
        Row(
            arm=f"{labels[place.group]} / {place.label}" if place.group else place.label,
            label=place.label,
            name=place.name,
            group=labels[place.group],
            cells={c.name: _cell(place, c, spec, results, validation) for c in spec.columns},
            source_arm=place.arm.name if place.arm else "",
            aliases=place.arm.aliases if place.arm else (),
        )
        for place in places
    ]
    apart = _apart(rows, heads)
    excluded = frozenset(apart)
    rows = mark_best(rows, heads, excluded)
    rows, tests = _tested(rows, heads, spec, results, excluded)
    if published is not None:
        rows = [_beside(row, place, spec, heads, published) for row, place in zip(rows, places, strict=True)]
    notes = notes_of(spec, places, rows, heads, tests)
    if any(sweep.rehearsal for sweep in sweeps):
        notes.insert(0, REHEARSED)
    if published is not None:
        notes.append(published_note(spec.published, published, rows))
    problems = (
        *baseline_fault(spec, rows),
        *unmet_conditions(spec, arms),
        *unmet_columns(spec, arms),
        *unmet_checkpoint(spec, arms, validation),
        *left_over(spec, places, arms),
        *apart_in_words(apart, heads),
    )
    return Table(spec.name, spec.title, tuple(heads), tuple(rows), tuple(notes), problems)


def _places(spec: TableSpec, arms: list[Arm]) -> list[Place]:
    places: list[Place] = []
    for group, members in grouped(arms, spec.group_by).items():
        if isinstance(spec.rows, str):
            places.extend(Place(a.name, a.name, group, a) for a in members)
        else:
            places.extend(_declared(row, group, members) for row in spec.rows)
    return places


def _declared(row: RowSpec, group: str, arms: list[Arm]) -> Place:
    found = fitting(arms, row.where)
    if len(found) > 1:
        return Place(row.name, row.label, group, None, tuple(a.name for a in found))
    return Place(row.name, row.label, group, found[0] if found else None)


def _cell(place: Place, column: ColumnSpec, spec: TableSpec, results: Path, validation: Validation) -> Cell:
    if not place.rivals:
        return fill(place.arm, column, spec, results, validation)
    told = listed(place.rivals, 4)
    return Cell(state="ambiguous", notes=(f"{len(place.rivals)} arms fit this row: {told}",))


def _group_labels(spec: TableSpec, places: list[Place], published: Published | None) -> dict[str, str]:
    groups = dict.fromkeys(place.group for place in places)
    if published is None or spec.group_by != "model" or spec.published is None:
        return {group: group for group in groups}
    return {group: published_model(published, spec.published, group) for group in groups}


def _apart(rows: list[Row], heads: list[Head]) -> dict[tuple[str, str], str]:
    """(group, column) pairs whose rows were scored under different conditions → these conditions."""
    told = {
        (group, head.name): scored_apart(row.cells[head.name] for row in rows if row.group == group)
        for group in dict.fromkeys(row.group for row in rows)
        for head in heads
    }
    return {place: why for place, why in told.items() if why}


def _tested(
    rows: list[Row],
    heads: list[Head],
    spec: TableSpec,
    results: Path,
    excluded: frozenset[tuple[str, str]],
) -> tuple[list[Row], Tests | None]:
    if spec.baseline is None:
        return rows, None

    def over_seeds(row: Row, baseline: Row, head: Head) -> Comparison | None:
        found = compare(row.cells[head.name].sample, baseline.cells[head.name].sample, spec.paired_from)
        return None if found is None else found.within(head.limit)

    test: Test = test_of_items(results, spec) if spec.test == "items" else over_seeds
    return mark_different(rows, heads, lambda row: row.named(spec.baseline), test, excluded, spec.primary)


def _beside(
    row: Row,
    place: Place,
    spec: TableSpec,
    heads: list[Head],
    published: Published,
) -> Row:
    cells = dict(row.cells)
    model = row.group if spec.group_by == "model" else (place.arm.model if place.arm else "")
    for column, head in zip(spec.columns, heads, strict=True):
        found = published.find(spec.published or "", model, place.name, column.metric or column.name)
        if found is not None:
            cells[column.name] = beside(cells[column.name], head, found, published)
    return replace(row, cells=cells)
