"""The origin of all cells: runs, seeds, checkpoints and item files, with the unrounded values."""

from __future__ import annotations

from typing import Any

from toolrl_cli.report.model import Cell, Printed, Source, Table, Tested
from toolrl_cli.store.schemas import PROVENANCE


def provenance(table: Table) -> dict[str, Any]:
    """The provenance file of a table: unrounded values for each arm and column, with their files.

    Paths are relative to the results root; `sampling_error` is the half-width of the 95 % Wilson interval of
    one evaluation; `test` is the one against the baseline row, unrounded.
    """
    cells = [_cell(row.arm, head.name, row.cells[head.name]) for row in table.rows for head in table.columns]
    return PROVENANCE.stamped({"table": table.name, "cells": cells})


def _cell(arm: str, column: str, cell: Cell) -> dict[str, Any]:
    printed = cell.printed
    return {
        "arm": arm,
        "column": column,
        "planned": cell.planned,
        "sampling_error": cell.sampling,
        "test": None if cell.tested is None else _test(cell.tested),
        "values": [_value(source) for source in cell.sources],
        "published": None if printed is None else _printed(printed),
    }


def _test(tested: Tested) -> dict[str, Any]:
    found = tested.comparison
    return {
        "kind": found.test,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "p_holm": tested.adjusted,
        "family": tested.family,
    }


def _printed(printed: Printed) -> dict[str, Any]:
    return {
        "source": printed.source,
        "table": printed.table,
        "protocol": printed.protocol,
        "commit": printed.commit or None,
        "value": printed.value,
    }


def _value(source: Source) -> dict[str, Any]:
    return {
        "value": source.value,
        "state": source.state or "succeeded",
        "runs": list(source.runs),
        "seeds": list(source.seeds),
        "evaluation": source.stage,
        "trained": source.trained,
        "checkpoint": source.checkpoint or None,
        "step": source.step,
        "items": source.items or None,
    }
