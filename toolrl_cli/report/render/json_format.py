"""JSON: `{"schema": 1, "tables": [{"name", "columns", "rows": [{"arm", "cells": {column: {...}}}]}]}`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from toolrl_cli.report.model import Cell, Head, Table
from toolrl_cli.report.render.shown import full_note
from toolrl_cli.store.schemas import PRINTED


def document(tables: Sequence[Table]) -> dict[str, Any]:
    """The tables as plain data.

    Each cell has `mean`, `ci` (half-width of the 95 % t interval over seeds, null for n < 3), `n`,
    `published` (the printed number, in the same unit) and `note`. Percentages are numbers from 0 to 100.
    """
    return {"schema": PRINTED, "tables": [_table(t) for t in tables]}


def render(tables: Sequence[Table]) -> str:
    """The document as text, ending in a line break."""
    return json.dumps(document(tables), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def cell_fields(cell: Cell, head: Head) -> dict[str, Any]:
    """The fields of one cell, in order; CSV prints the same."""
    return {
        "mean": cell.mean,
        "ci": cell.ci,
        "n": cell.n,
        "published": cell.printed.value if cell.printed else None,
        "note": full_note(cell, head),
    }


def _table(table: Table) -> dict[str, Any]:
    rows = [
        {"arm": row.arm, "cells": {h.name: cell_fields(row.cells[h.name], h) for h in table.columns}}
        for row in table.rows
    ]
    return {"name": table.name, "columns": [h.name for h in table.columns], "rows": rows}
