"""From a sweep file, or a sweep's name, to its plan: what several commands begin with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolrl_cli.engine.plan import Plan
    from toolrl_cli.spec.sweep import Document


def load_plan(file: Path, results: Path, sets: Iterable[str] = ()) -> tuple[Plan, Document]:
    """Read, expand and validate a sweep, and look up where its stages stand.

    Raises:
        SpecError: anything wrong in the file, the options, the data or the model.
        LedgerError: the results root cannot be read.
    """
    from toolrl_cli.engine.facts import LocalFacts
    from toolrl_cli.engine.ledger import Ledger
    from toolrl_cli.engine.plan import make_plan
    from toolrl_cli.spec.resolve import resolve_runs
    from toolrl_cli.spec.sweep import read_sweep

    document = read_sweep(file, sets)
    _check_tables(document)
    runs = resolve_runs(document)
    plan = make_plan(
        document.sweep.name,
        runs,
        LocalFacts(),
        Ledger(results),
        tables=tuple(document.sweep.tables),
        description=document.sweep.description,
    )
    return plan, document


def _check_tables(document: Document) -> None:
    from toolrl_cli.errors import SpecError
    from toolrl_cli.report.table_spec import load_table

    for position, name in enumerate(document.sweep.tables):
        try:
            load_table(name)
        except SpecError as error:
            where = document.source.where(("tables", position))
            raise SpecError(error.what, where, error.hint) from None
