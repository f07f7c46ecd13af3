"""CSV: one line for each cell, with the same fields and digits as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from toolrl_cli.report.model import Cell, Head, Table
from toolrl_cli.report.render.json_format import cell_fields

FIELDS = ("table", "arm", "column", *cell_fields(Cell(), Head("", "", 0)))


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets treat a text with these first characters as a formula, unless it has an apostrophe before it."""


def render(tables: Sequence[Table]) -> str:
    """A header and one line for every cell of every table; null in JSON is an empty field here.

    A name or note that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    return csv_text(
        FIELDS,
        (
            [table.name, row.arm, head.name, *cell_fields(row.cells[head.name], head).values()]
            for table in tables
            for row in table.rows
            for head in table.columns
        ),
    )


def csv_text(fields: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A header, and a line for each row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows(map(_text_of, row) for row in rows)
    return out.getvalue()


def _text_of(value: Any) -> str:
    """A value as a field; a text that a spreadsheet would run gets an apostrophe before it."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else repr(value)
