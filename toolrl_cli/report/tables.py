"""Computes a table from its declaration and the results on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolrl_cli.report.against import beside, published_model, published_note
from toolrl_cli.report.arms import Arm, collect_arms, group_value, groups_of, holds
from toolrl_cli.report.cells import either, fill, head_of
from toolrl_cli.report.comparisons.paired import items_p_value
from toolrl_cli.report.marks import LEVEL, Tests, mark_best, mark_different
from toolrl_cli.report.model import Cell, Head, Row, Table, fixed
from toolrl_cli.report.sources.chosen_evaluation import Validation, checkpoint_note
from toolrl_cli.report.sources.published import Published
from toolrl_cli.report.sources.results import Sweep
from toolrl_cli.report.statistics import (
    MIN_SEEDS,
    minimum_detectable_difference,
    pooled_sd,
    welch,
)
from toolrl_cli.report.table_spec import ColumnSpec, RowSpec, TableSpec
from toolrl_cli.spec.suggest import hint_for

REHEARSED = (
    "A rehearsal: a few steps of training and a few items of each benchmark. These numbers mean nothing."
)


@dataclass(frozen=True)
class _Place:
    """A row without its cells."""

    name: str
    label: str
    group: str
    arm: Arm | None
    rivals: tuple[str, ...] = ()


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
    places = _places(spec, [a for a in arms if holds(a, spec.filter)])
    labels = _group_labels(spec, places, published)
    rows = [
        Row(
            arm=f"{labels[place.group]} / {place.label}" if place.group else place.label,
            label=place.label,
            group=labels[place.group],
            cells={c.name: _cell(place, c, spec, results, validation) for c in spec.columns},
            source_arm=place.arm.name if place.arm else "",
        )
        for place in places
    ]
    apart = _scored_apart(rows, heads)
    excluded = frozenset(apart)
    rows = mark_best(rows, heads, excluded)
    rows, tests = _starred(rows, heads, spec, places, results, excluded)
    if published is not None:
        rows = [_beside(row, place, spec, heads, published) for row, place in zip(rows, places, strict=True)]
    notes = _notes(spec, places, rows, heads, tests)
    if any(sweep.rehearsal for sweep in sweeps):
        notes.insert(0, REHEARSED)
    if published is not None:
        notes.append(published_note(spec.published, published, rows))
    problems = (
        *_baseline_fault(spec, places),
        *_left_over(spec, places, arms),
        *_apart_in_words(apart, heads),
    )
    return Table(spec.name, spec.title, tuple(heads), tuple(rows), tuple(notes), problems)


def _baseline_fault(spec: TableSpec, places: list[_Place]) -> list[str]:
    """The fault of a baseline that is not among the arms, for tables whose rows are arms."""
    names = {place.name for place in places}
    if spec.baseline is None or not isinstance(spec.rows, str) or spec.baseline in names or not names:
        return []
    hint = hint_for(spec.baseline, names, "arms")
    return [f"Nothing is tested: the baseline {spec.baseline!r} is no arm of these sweeps ({hint})."]


def _places(spec: TableSpec, arms: list[Arm]) -> list[_Place]:
    places: list[_Place] = []
    for group in groups_of(arms, spec.group_by):
        members = [a for a in arms if spec.group_by is None or group_value(a, spec.group_by) == group]
        if isinstance(spec.rows, str):
            places.extend(_Place(a.name, a.name, group, a) for a in members)
        else:
            places.extend(_declared(row, group, members) for row in spec.rows)
    return places


def _declared(row: RowSpec, group: str, arms: list[Arm]) -> _Place:
    found = [a for a in arms if holds(a, row.where)]
    if len(found) > 1:
        return _Place(row.name, row.label, group, None, tuple(a.name for a in found))
    return _Place(row.name, row.label, group, found[0] if found else None)


def _cell(place: _Place, column: ColumnSpec, spec: TableSpec, results: Path, validation: Validation) -> Cell:
    if not place.rivals:
        return fill(place.arm, column, spec, results, validation)
    told = ", ".join(place.rivals[:4]) + (", …" if len(place.rivals) > 4 else "")
    return Cell(state="ambiguous", notes=(f"{len(place.rivals)} arms fit this row: {told}",))


def _group_labels(spec: TableSpec, places: list[_Place], published: Published | None) -> dict[str, str]:
    groups = dict.fromkeys(place.group for place in places)
    if published is None or spec.group_by != "model" or spec.published is None:
        return {group: group for group in groups}
    return {group: published_model(published, spec.published, group) for group in groups}


def _scored_apart(rows: list[Row], heads: list[Head]) -> dict[tuple[str, str], str]:
    """(group, column) pairs whose rows were scored under different conditions → these conditions."""
    apart: dict[tuple[str, str], str] = {}
    for group in dict.fromkeys(row.group for row in rows):
        for head in heads:
            kinds: dict[str, set[str]] = {}
            for row in rows:
                if row.group == group:
                    for key, value in row.cells[head.name].conditions.items():
                        kinds.setdefault(key, set()).add(value)
            told = [f"{key}: {either(v)}" for key, v in sorted(kinds.items()) if len(v) > 1]
            if told:
                apart[group, head.name] = "; ".join(told)
    return apart


def _apart_in_words(apart: Mapping[tuple[str, str], str], heads: list[Head]) -> list[str]:
    """One line for all columns of a group with the same differences."""
    labels = {head.name: head.label for head in heads}
    columns: dict[tuple[str, str], list[str]] = {}
    for (group, name), told in apart.items():
        columns.setdefault((group, told), []).append(labels[name])
    return [
        f"{', '.join([group] * bool(group) + columns)}: rows were scored differently ({told}) and are not compared."
        for (group, told), columns in columns.items()
    ]


def _starred(
    rows: list[Row],
    heads: list[Head],
    spec: TableSpec,
    places: list[_Place],
    results: Path,
    excluded: frozenset[tuple[str, str]],
) -> tuple[list[Row], Tests | None]:
    if spec.baseline is None:
        return rows, None
    base = {row.arm for row, place in zip(rows, places, strict=True) if place.name == spec.baseline}

    def seeds_p_value(row: Row, baseline: Row, head: Head) -> float | None:
        comparison = welch(row.cells[head.name].sample, baseline.cells[head.name].sample)
        return None if comparison is None else comparison.p

    p_value: Callable[[Row, Row, Head], float | None] = seeds_p_value
    if spec.test == "items":
        p_value = items_p_value(results, spec)
    return mark_different(rows, heads, lambda row: row.arm in base, p_value, excluded)


def _beside(
    row: Row,
    place: _Place,
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


def _notes(
    spec: TableSpec, places: list[_Place], rows: list[Row], heads: list[Head], tests: Tests | None
) -> list[str]:
    cells = [cell for row in rows for cell in row.cells.values()]
    notes = [spec.caption] if spec.caption else []
    checkpoint = checkpoint_note(rows, spec.checkpoint)
    notes += [n for n in (_scored_under(rows), checkpoint) if n]
    if any(c.ci is not None for c in cells):
        notes.append("Mean ± half-width of the 95 % t interval over seeds (number of seeds).")
        if any(c.n and not c.sample.enough for c in cells):
            notes.append(f"With fewer than {MIN_SEEDS} seeds there is no interval and no test.")
    elif any(c.n for c in cells):
        notes.append(f"Mean (number of seeds); an interval needs {MIN_SEEDS} seeds.")
    if any(0 < c.n < c.planned for c in cells):
        notes.append("(k/m): k of m planned seeds have a value.")
    if tests is not None:
        test = (
            "Welch's t test over seeds"
            if spec.test == "seeds"
            else "paired bootstrap of items, clustered by item, without the variance over seeds"
        )
        notes.append(
            f"*: differs from {tests.baseline} ({test}, p < {LEVEL} after Holm's correction"
            f" over the {tests.count} comparisons of this table)."
        )
    elif spec.baseline is not None and any(c.n for c in cells) and not _baseline_fault(spec, places):
        notes.append(
            f"No test against {_baseline_label(spec)}: nowhere have it and another row, scored alike,"
            f" {MIN_SEEDS} seeds each{' and items to count' if spec.test == 'items' else ''}."
        )
    return notes + _error_notes(spec, rows, heads)


def _baseline_label(spec: TableSpec) -> str | None:
    rows = [] if isinstance(spec.rows, str) else spec.rows
    return next((row.label for row in rows if row.name == spec.baseline), spec.baseline)


def _left_over(spec: TableSpec, places: list[_Place], arms: list[Arm]) -> list[str]:
    """A note on arms with scores that match no row, if rows are empty: a wrong setting may be the cause."""
    if isinstance(spec.rows, str) or all(place.arm or place.rivals for place in places):
        return []
    placed = {place.arm.name for place in places if place.arm} | {r for p in places for r in p.rivals}
    over = [
        arm.name
        for arm in arms
        if arm.name not in placed
        and any(e.metrics and e.benchmark in spec.benchmarks for run in arm.runs for e in run.evaluations)
    ]
    if not over:
        return []
    told = ", ".join(over[:4]) + (", …" if len(over) > 4 else "")
    return [f"In no row, though scored on {' or '.join(spec.benchmarks)}: {told}."]


def _scored_under(rows: list[Row]) -> str:
    """Protocol and version of all values, if they are the same."""
    known = [c.conditions for row in rows for c in row.cells.values() if c.n]
    found = {(c.get("protocol", ""), c.get("version", "")) for c in known}
    if len(found) != 1 or not next(iter(found))[0]:
        return ""
    protocol, version = next(iter(found))
    return f"Scored under {protocol}" + (f", version {version}." if version else ".")


def _error_notes(spec: TableSpec, rows: list[Row], heads: list[Head]) -> list[str]:
    """Notes on the sampling error by column, and on the smallest difference that these seeds can detect."""
    notes = []
    sampling = {h.label: [r.cells[h.name].sampling for r in rows] for h in heads}
    largest = {
        label: max(s for s in v if s is not None) for label, v in sampling.items() if any(s for s in v)
    }
    if largest:
        told = ", ".join(f"{label} ±{fixed(value, 1)}" for label, value in largest.items())
        notes.append(
            f"Not in ±: the benchmark's own sampling error (95 % Wilson, one evaluation), at most {told}."
        )
    head = next((h for h in heads if h.name == spec.primary), None)
    if head is not None:
        notes.extend(_detectable(rows, head))
    return notes


def _detectable(rows: list[Row], head: Head) -> list[str]:
    groups = [r.cells[head.name].values for r in rows if r.cells[head.name].n >= MIN_SEEDS]
    sd = pooled_sd(groups)
    if len(groups) < 2 or sd is None:
        return []
    sizes = Counter(len(g) for g in groups)
    # the most frequent number of seeds; of equally frequent ones the smallest, which detects least
    n = min(sizes, key=lambda size: (-sizes[size], size))
    difference = minimum_detectable_difference(sd, n)
    if not difference:
        return []  # without a spread over seeds, the detectable difference is unknown
    return [
        f"With {n} seeds an arm, true differences in {head.label} below {fixed(difference, head.precision)}"
        " are missed more often than 1 time in 5."
    ]
