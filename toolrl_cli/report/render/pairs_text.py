"""Comparisons of two arms, for the terminal, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from toolrl_cli.report.comparisons.pairs import Pair, PairColumn
from toolrl_cli.report.model import Head, digits, fixed, rounded
from toolrl_cli.report.render.markdown import escape
from toolrl_cli.report.statistics.basics import MIN_SEEDS, Comparison
from toolrl_cli.store.schemas import PRINTED

if TYPE_CHECKING:
    from rich.console import Console

_NONE = "–"
HEADS = (
    "",
    "A",
    "B",
    "A - B over seeds",
    "A - B over items",
    "p",
    "p (Holm)",
    "A more",
    "B more",
    "sign p",
)
NOTE = (
    "Over seeds: Welch's 95 % interval, from three seeds on; paired by seed where both arms have the same five "
    "seeds or more; with the items' error where all seeds of an arm gave one value. Over items: the items that "
    "both were asked, each one piece of evidence; Bonett and Price's interval, p of the exact sign-flip test, and "
    "p after Holm's correction over the columns of the table. A more, B more: items that one gets right more "
    "often (with one seed: alone), with the exact sign test of the two counts (with one seed: McNemar's). Neither "
    "interval contains the other's error. –: too few seeds, no item files, or a metric that is no count of items "
    "(a mean of means)."
)


def document(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The pairs as plain data; differences and intervals in points, rounded like their columns."""
    return {"schema": PRINTED, "pairs": [_plain(p) for p in pairs]}


def render_json(pairs: Sequence[Pair]) -> str:
    """The document as text, ending in a line break."""
    return json.dumps(document(pairs), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def render_markdown(pairs: Sequence[Pair]) -> str:
    """One table a pair, ending in a line break."""
    out = []
    for pair in pairs:
        out += [f"### {escape(pair.title)}: {escape(pair.a)} (A) and {escape(pair.b)} (B)", ""]
        out += ["| " + " | ".join(HEADS) + " |", "|:--|" + "--:|" * (len(HEADS) - 1)]
        out += ["| " + " | ".join(map(escape, _cells(c))) + " |" for c in pair.columns]
        if pair.settings:
            out += ["", "| Setting | A | B |", "|:--|:--|:--|"]
            out += [f"| {' | '.join(map(escape, line))} |" for line in pair.settings]
        out.append("")
    return "\n".join([*out, NOTE]) + "\n"


def show(pairs: Sequence[Pair], console: Console) -> None:
    """Print the pairs on a rich console."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    for pair in pairs:
        console.print(Text(f"{pair.title}: {pair.a} (A) and {pair.b} (B)", style="bold"))
        grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for index, head in enumerate(HEADS):
            grid.add_column(head, justify="right" if index else "left", no_wrap=True)
        body = [_cells(column) for column in pair.columns]
        for cells in body:
            grid.add_row(*map(Text, cells))
        if console.measure(grid, options=console.options.update(max_width=10_000)).minimum <= console.width:
            console.print(grid)
        else:
            for text in map(_stacked, body):
                console.print(Text(text), highlight=False)
        for key, a, b in pair.settings:
            console.print(Text(f"{key}: {a} (A), {b} (B)", style="dim"), highlight=False)
    console.print(Text(NOTE, style="dim"))


def _cells(c: PairColumn) -> tuple[str, ...]:
    means = tuple(_NONE if v is None else fixed(v, c.head.precision) for v in (c.a, c.b))
    if c.why:
        return (c.head.label, *means, c.why, *(_NONE for _ in HEADS[4:]))
    few = _NONE if None in (c.a, c.b) else f"no spread, or fewer than {MIN_SEEDS}"
    seeds = few if c.seeds is None else f"{_interval(c.seeds, c.head)} ({c.seeds.test})"
    if c.items is None or c.items.difference is None or c.adjusted is None:
        return (c.head.label, *means, seeds, *(_NONE for _ in HEADS[4:]))
    boot = c.items.difference
    return (
        *(c.head.label, *means, seeds, f"{_interval(boot, c.head, 100)}, n = {boot.n}"),
        *(
            _p(boot.p),
            _p(c.adjusted),
            str(len(c.items.only_a)),
            str(len(c.items.only_b)),
            _p(c.items.mcnemar_p),
        ),
    )


def _stacked(cells: Sequence[str]) -> str:
    """The cells of one column, stacked for a narrow terminal."""
    label, a, b, seeds, items, p, adjusted, only_a, only_b, mcnemar = cells
    lines = [f"{label}: {a} (A), {b} (B)", f"  over seeds  {seeds}"]
    if p == _NONE:
        return "\n".join([*lines, f"  over items  {items}"])
    return "\n".join(
        [
            *lines,
            f"  over items  {items}, p {p}, after Holm {adjusted}",
            f"  right more often {only_a} (A), {only_b} (B), sign test's p {mcnemar}",
        ]
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
        if c.seeds is None
        else {**_ends(c.seeds, c.head, 1.0), "p": digits(c.seeds.p), "test": c.seeds.test},
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


def _ends(c: Comparison, head: Head, scale: float) -> dict[str, float]:
    return dict(zip(("difference", "low", "high"), _points(c, head, scale), strict=True))
