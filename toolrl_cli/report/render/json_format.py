"""JSON: `{"schema": 1, "tables": [{"name", "columns", "rows": [{"arm", "cells": {column: {...}}}]}]}`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from toolrl_cli.report.model import Cell, Head, Table, digits, rounded
from toolrl_cli.report.render.shown import full_note
from toolrl_cli.store.schemas import PRINTED


def document(tables: Sequence[Table]) -> dict[str, Any]:
    """The tables as plain data.

    Each cell has the fields of `cell_fields`. Percentages are numbers from 0 to 100.
    """
    return {"schema": PRINTED, "tables": [_table(t) for t in tables]}


def render(tables: Sequence[Table]) -> str:
    """The document as text, ending in a line break."""
    return json.dumps(document(tables), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def cell_fields(cell: Cell, head: Head) -> dict[str, Any]:
    """The fields of one cell, in order; CSV prints the same.

    Returns:
        `mean`, `ci` (half-width of the 95 % t interval over seeds, null for n < 3 or without a spread), `n`,
        `published` (the printed number, in the same unit; `published_derived` is what its row gives under our
        protocol), `note`; the interval's ends `low` and `high`, cut to what values can be; `ci_items` (half-width of
        the 95 % Wilson interval of one evaluation) and `ci_with_items` (both errors together); `planned` evaluations
        and the `seeds` with a value; `state` where there is no mean; `protocol`; the marks; the `test` against the
        baseline row with its `difference` and ends, `p`, `p_holm` and the `family` of tests; and what may be said of
        the printed number: `published_difference` (null where it may not be compared) and its `_error`.
    """
    tested, printed = cell.tested, cell.printed
    found = None if tested is None else tested.comparison
    return {
        "mean": cell.mean,
        "ci": cell.ci,
        "n": cell.n,
        "published": printed.value if printed else None,
        "note": full_note(cell, head),
        "low": cell.low,
        "high": cell.high,
        "ci_items": None if cell.sampling is None else rounded(cell.sampling, head.precision),
        "ci_with_items": cell.with_items,
        "planned": cell.planned,
        "seeds": list(cell.seeds),
        "state": cell.state if cell.mean is None else None,
        "protocol": cell.conditions.get("protocol") or None,
        "best": cell.best,
        "second": cell.second,
        "star": cell.star,
        "test": None if found is None else found.test,
        "difference": None if found is None else rounded(found.difference, head.precision),
        "difference_low": None if found is None else rounded(found.low, head.precision),
        "difference_high": None if found is None else rounded(found.high, head.precision),
        "p": None if found is None else digits(found.p),
        "p_holm": None if tested is None else digits(tested.adjusted),
        "family": None if tested is None else tested.family,
        "published_derived": printed.derived if printed else None,
        "published_difference": printed.difference if printed else None,
        "published_difference_error": printed.difference_error if printed else None,
    }


def _table(table: Table) -> dict[str, Any]:
    rows = [
        {"arm": row.arm, "cells": {h.name: cell_fields(row.cells[h.name], h) for h in table.columns}}
        for row in table.rows
    ]
    return {"name": table.name, "columns": [h.name for h in table.columns], "rows": rows}
