"""Shared by the formats for people: the text of each cell, and the notes under a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from toolrl_cli.report.model import Cell, Head, Row, Table, fixed
from toolrl_cli.report.statistics.basics import MIN_SEEDS
from toolrl_cli.report.table_notes import cut

_NAMED = 3
"""Most rows that a note names; for more it gives their number."""


@dataclass(frozen=True)
class Shown:
    """One printed cell; `main` is the number or the state, `spread` its interval and number of seeds."""

    main: str
    spread: str = ""
    best: bool = False
    second: bool = False
    faded: bool = False

    @property
    def text(self) -> str:
        return f"{self.main} {self.spread}" if self.spread else self.main


@dataclass(frozen=True)
class Line:
    """One printed line of a table; `sub` for the lines of published numbers under an arm."""

    label: str
    group: str
    cells: tuple[Shown, ...]
    sub: bool = False


def lines(table: Table) -> Iterator[Line]:
    """The printed lines of a table: one for each arm, and up to three more with published numbers."""
    for row in table.rows:
        yield from row_lines(table, row)


def row_lines(table: Table, row: Row) -> Iterator[Line]:
    """The printed lines of one row, its own first."""
    pairs = [(row.cells[h.name], h) for h in table.columns]
    printed = any(c.printed for c, _ in pairs)
    if printed and table.published_only:
        yield Line(row.label, row.group, tuple(_printed(c, h, alone=True) for c, h in pairs))
        return
    yield Line(row.label, row.group, tuple(_ours(c, h) for c, h in pairs))
    if not printed:
        return
    yield Line("published", row.group, tuple(_printed(c, h) for c, h in pairs), sub=True)
    errors = [c.printed.derived_error for c, _ in pairs if c.printed and c.printed.derived_error is not None]
    if errors:
        label = f"derived ± {fixed(max(errors), 2)}"
        yield Line(label, row.group, tuple(_derived(c, h) for c, h in pairs), sub=True)
    yield Line("difference", row.group, tuple(_difference(c, h) for c, h in pairs), sub=True)


def notes_under(table: Table, best: str, second: str) -> list[str]:
    """All notes under a table; `best` and `second` are the format's marks."""
    return [*legend(table, best, second), *cell_notes(table)]


def legend(table: Table, best: str, second: str) -> list[str]:
    """The notes on the whole table: its contents, its marks and its tests."""
    cells = [cell for row in table.rows for cell in row.cells.values()]
    notes = list(table.notes)
    if any(c.best for c in cells):
        if table.published_only:
            told = f"{best}: the best printed number" + (f"; {second}: the next" if second else "")
        else:
            down = {h.direction for h in table.columns} == {"lower"}
            told = f"{best}: the {'lowest' if down else 'highest'} mean"
            if second and any(c.second for c in cells):
                told += f"; {second}: the next"
            told += (
                f", of the rows with {MIN_SEEDS} seeds or more (or one that no seed changes) and none missing;"
                " an order of means and no test"
            )
            told += "; equal means share it" if _shared(table) else ""
        notes.insert(1 if notes else 0, f"{told}.")
    if any(c.printed and c.printed.difference_error is not None for c in cells):
        notes.append(
            "difference ±: the printed number is one run's, which is taken to vary over seeds as ours do, and on as"
            " many items where they are counted (95 %)."
        )
    return [*notes, *table.problems]


def _shared(table: Table) -> bool:
    """Whether anywhere two rows of a group are best with one printed mean."""
    places = [
        [row.cells[head.name].best for row in table.rows if row.group == group]
        for group in table.groups
        for head in table.columns
    ]
    return any(sum(best) > 1 for best in places)


def cell_notes(table: Table) -> list[str]:
    """The notes of single cells, each printed once with all its places."""
    places: dict[str, dict[str, list[str]]] = {}
    for row in table.rows:
        for head in table.columns:
            for note in _notes_of(row.cells[head.name]):
                places.setdefault(note, {}).setdefault(row.arm, []).append(head.label)
    return [f"{_where(table, arms)}: {note}." for note, arms in places.items()]


def _where(table: Table, arms: Mapping[str, Sequence[str]]) -> str:
    """Arm → column labels, shortened."""
    columns = list(dict.fromkeys(label for labels in arms.values() for label in labels))
    everywhere = len(columns) == len(table.columns)
    if all(list(labels) == columns for labels in arms.values()):
        if len(arms) == len(table.rows):
            return "All cells" if everywhere else ", ".join(columns)
        rows = ", ".join(arms) if len(arms) <= _NAMED else f"{len(arms)} of {len(table.rows)} rows"
        return rows if everywhere else f"{', '.join(columns)} in {rows}"
    return "; ".join(f"{arm} ({', '.join(labels)})" for arm, labels in arms.items())


def full_note(cell: Cell, head: Head) -> str | None:
    """State, note and comparison of a cell in one line, for CSV and JSON; None if there is none."""
    parts = list(cell.notes)
    if cell.mean is None and cell.state.strip("–") and cell.state not in cell.note:
        parts.insert(0, cell.state)
    printed = cell.printed
    if printed is not None:
        parts += [note for note in (printed.mark, printed.refusal) if note]
        if printed.derived is not None:
            error = fixed(printed.derived_error or 0.0, 2)
            parts.append(f"without exec the printed row gives {_derived(cell, head).text} ± {error}")
        if cell.mean is not None and printed.difference is not None:
            parts.append(f"difference {_difference(cell, head).text}")
    return "; ".join(parts) or None


def _ours(cell: Cell, head: Head) -> Shown:
    if cell.mean is None:
        return Shown(cell.state, faded=True)
    seeds = f"({cell.n})" if cell.n == cell.planned else f"({cell.n}/{cell.planned})"
    interval = _interval(cell, head)
    spread = f"{interval} {seeds}" if interval else seeds
    star = "*" if cell.star else ""
    return Shown(fixed(cell.mean, head.precision) + star, spread, cell.best, cell.second)


def _interval(cell: Cell, head: Head) -> str:
    """`± 3.6`, or `[91.2, 100.0]` where ± would leave what values can be; empty without an interval."""
    if cell.mean is None or cell.ci is None or cell.low is None or cell.high is None:
        return ""
    if cut(cell.low, cell.high, cell.mean, cell.ci, head.precision):
        return f"[{fixed(cell.low, head.precision)}, {fixed(cell.high, head.precision)}]"
    return f"± {fixed(cell.ci, head.precision)}"


def _printed(cell: Cell, head: Head, alone: bool = False) -> Shown:
    if cell.printed is None:
        return Shown("–" if alone else "", faded=True)
    suspect = "!" if cell.printed.suspect else ""
    text = fixed(cell.printed.value, head.precision) + suspect
    return Shown(text, best=alone and cell.best, second=alone and cell.second, faded=not alone)


def _derived(cell: Cell, head: Head) -> Shown:
    if cell.printed is None or cell.printed.derived is None:
        return Shown("", faded=True)
    return Shown(fixed(cell.printed.derived, head.precision), faded=True)


def _difference(cell: Cell, head: Head) -> Shown:
    if cell.printed is None or cell.mean is None:
        return Shown("", faded=True)
    if cell.printed.difference is None:
        return Shown("n/c", faded=True)
    error = cell.printed.difference_error
    spread = f"± {fixed(error, head.precision)}" if error is not None else ""
    return Shown(fixed(cell.printed.difference, head.precision, sign=True), spread, faded=True)


def _notes_of(cell: Cell) -> list[str]:
    notes = list(cell.notes)
    if cell.printed is not None:
        notes += [note for note in (cell.printed.mark, cell.printed.refusal) if note]
        if cell.printed.derived is not None:
            notes.append("derived is what the printed row gives without exec; the difference is to it")
    return notes
