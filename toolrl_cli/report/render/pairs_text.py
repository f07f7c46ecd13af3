"""Comparisons of two arms, or of all with one, in every format but the page's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toolrl_cli.report.comparisons.pairs import Pair, PairColumn
from toolrl_cli.report.model import Head, digits, fixed, rounded
from toolrl_cli.report.render.csv_format import csv_text
from toolrl_cli.report.render.grids import Grid, render_latex, render_markdown, show
from toolrl_cli.report.statistics.basics import MIN_SEEDS, Comparison
from toolrl_cli.store.schemas import PRINTED

if TYPE_CHECKING:
    from rich.console import Console

_NONE = "–"
HEADS = (
    *("", "A", "B", "A - B over seeds", "p", "p (Holm)"),
    *("A - B over items", "p", "p (Holm)", "A more", "B more", "sign p"),
)
ENDS = ("difference", "low", "high", "p")
FIELDS = (
    *("table", "a", "b", "column", "a_mean", "b_mean"),
    *(f"seeds_{key}" for key in (*ENDS, "p_holm", "test")),
    *(f"items_{key}" for key in (*ENDS, "p_holm", "n", "more_a", "more_b", "sign_p")),
    "note",
)
NOTE = (
    "Over seeds: Welch's 95 % interval, from three seeds on; paired by seed where both arms have the same five "
    "seeds or more; with the items' error where all seeds of an arm gave one value. Over items: the items that "
    "both were asked, each one piece of evidence; Bonett and Price's interval, and p of the exact sign-flip "
    "test. p (Holm): after Holm's correction over the columns of the table (of all rows against one: over the "
    "rows of the primary column, and over all others). A more, B more: items that one gets right more often "
    "(with one seed: alone), with the exact sign test of the two counts (with one seed: McNemar's). Neither "
    "interval contains the other's error. –: too few seeds, no item files, or a metric that is no count of "
    "items (a mean of means)."
)


def document(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The pairs as plain data; differences and intervals in points, rounded like their columns."""
    return {"schema": PRINTED, "pairs": [_plain(p) for p in pairs]}


def render(pairs: Sequence[Pair], kind: str) -> str:
    """The pairs as `markdown` or `latex`, or as `csv` with the numbers of JSON; ends in a line break."""
    if kind == "csv":
        lines = (_line(pair, c) for pair in pairs for c in pair.columns)
        return csv_text(FIELDS, ([line.get(field) for field in FIELDS] for line in lines))
    return (render_latex if kind == "latex" else render_markdown)(grids(pairs), NOTE)


def print_pairs(pairs: Sequence[Pair], console: Console) -> None:
    """Print the pairs on a rich console."""
    show(grids(pairs), NOTE, console)


def grids(pairs: Sequence[Pair]) -> list[Grid]:
    """A table for each pair, with a row for each column; where rows were compared with one, a table a column."""
    found = []
    for table in dict.fromkeys(pair.table for pair in pairs):
        members = [pair for pair in pairs if pair.table == table]
        for pair in members if len(members) == 1 else ():
            told = tuple(f"{key}: {a} (A), {b} (B)" for key, a, b in pair.settings)
            title = f"{pair.title}: {pair.a} (A) and {pair.b} (B)"
            rows = tuple((c.head.label, *_cells(c)) for c in pair.columns)
            found.append(Grid(f"{table}-pair", title, HEADS, rows, told))
        for place, column in enumerate(members[0].columns if len(members) > 1 else ()):
            rows = tuple((pair.a, *_cells(pair.columns[place])) for pair in members)
            bases = list(dict.fromkeys(pair.b for pair in members))
            title = f"{members[0].title}, {column.head.label}: each row (A) against {', '.join(bases)} (B)"
            found.append(Grid(f"{table}-{column.head.name}-pairs", title, HEADS, rows))
    return [_without_empty(grid) for grid in found if any(set(row[1:]) != {_NONE} for row in grid.rows)]


def _without_empty(grid: Grid) -> Grid:
    """Without the columns of tests that nowhere were possible."""
    kept = [n for n in range(len(grid.heads)) if n < 4 or any(row[n] != _NONE for row in grid.rows)]
    rows = tuple(tuple(row[n] for n in kept) for row in grid.rows)
    return replace(grid, heads=tuple(grid.heads[n] for n in kept), rows=rows)


def _cells(c: PairColumn) -> tuple[str, ...]:
    means = tuple(_NONE if v is None else fixed(v, c.head.precision) for v in (c.a, c.b))
    if c.why:
        return (*means, c.why, *(_NONE for _ in HEADS[4:]))
    few = _NONE if None in (c.a, c.b) else f"no spread, or fewer than {MIN_SEEDS}"
    seeds: tuple[str, ...] = (few, _NONE, _NONE)
    if c.seeds is not None and c.seeds_adjusted is not None:
        seeds = (f"{_interval(c.seeds, c.head)} ({c.seeds.test})", _p(c.seeds.p), _p(c.seeds_adjusted))
    if c.items is None or c.items.difference is None or c.adjusted is None:
        return (*means, *seeds, *(_NONE for _ in HEADS[6:]))
    found = c.items.difference
    return (
        *(*means, *seeds, f"{_interval(found, c.head, 100)}, n = {found.n}", _p(found.p), _p(c.adjusted)),
        *(str(len(c.items.only_a)), str(len(c.items.only_b)), _p(c.items.mcnemar_p)),
    )


def _interval(c: Comparison, head: Head, scale: float = 1.0) -> str:
    difference, low, high = _points(c, head, scale)
    told = (fixed(v, head.precision, sign=True) for v in (difference, low, high))
    return "{} [{}, {}]".format(*told)


def _points(c: Comparison, head: Head, scale: float) -> tuple[float, float, float]:
    return (
        rounded(scale * c.difference, head.precision),
        rounded(scale * c.low, head.precision),
        rounded(scale * c.high, head.precision),
    )


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else fixed(value, 3)


def _plain(pair: Pair) -> dict[str, Any]:
    return {
        "table": pair.table,
        "a": pair.a,
        "b": pair.b,
        "columns": {c.head.name: _column(c) for c in pair.columns},
        "settings": {key: {"a": a, "b": b} for key, a, b in pair.settings},
    }


def _column(c: PairColumn) -> dict[str, Any]:
    items = c.items
    boot = items.difference if items is not None else None
    return {
        "a": c.a,
        "b": c.b,
        "seeds": None
        if c.seeds is None or c.seeds_adjusted is None
        else {
            **_ends(c.seeds, c.head, 1.0),
            "p": digits(c.seeds.p),
            "p_holm": digits(c.seeds_adjusted),
            "test": c.seeds.test,
        },
        "items": None
        if items is None or boot is None or c.adjusted is None
        else {
            **_ends(boot, c.head, 100.0),
            "n": boot.n,
            "p": digits(boot.p),
            "p_holm": digits(c.adjusted),
            "only_a": list(items.only_a),
            "only_b": list(items.only_b),
            "mcnemar_p": digits(items.mcnemar_p),
        },
        "note": c.why or None,
    }


def _line(pair: Pair, c: PairColumn) -> dict[str, Any]:
    return {"table": pair.table, "a": pair.a, "b": pair.b, "column": c.head.name, **_flat(_column(c))}


def _flat(column: dict[str, Any]) -> dict[str, Any]:
    """The fields of a column in one line; of the items that one gets right more often, their number."""
    flat = {"a_mean": column["a"], "b_mean": column["b"], "note": column["note"]}
    for name in ("seeds", "items"):
        for key, value in (column[name] or {}).items():
            key = {"only_a": "more_a", "only_b": "more_b", "mcnemar_p": "sign_p"}.get(key, key)
            flat[f"{name}_{key}"] = len(value) if isinstance(value, list) else value
    return flat


def _ends(c: Comparison, head: Head, scale: float) -> dict[str, float]:
    return dict(zip(("difference", "low", "high"), _points(c, head, scale), strict=True))
