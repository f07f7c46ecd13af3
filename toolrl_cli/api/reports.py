"""Comparison tables of sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolrl_cli.api.given import several
from toolrl_cli.report.api import build_report
from toolrl_cli.report.computed import Report
from toolrl_cli.store.roots import results_root


def report(
    sweeps: Sequence[str] = (),
    *,
    results: Path | str | None = None,
    tables: Sequence[str] | None = None,
    against: str | None = None,
    published_only: bool = False,
    imports: Sequence[Path | str] = (),
) -> Report:
    """Compute the tables of some sweeps; `.write_report(folder)` writes them in every format.

    Args:
        sweeps: names, or one; none for all there are.
        results: the results root; None for `$TOOLRL_RESULTS`, then `results/`.
        tables: names of shipped tables, or files, or one; None for those that the sweeps ask for.
        against: source of printed numbers to set beside the results, such as `paper`.
        published_only: the printed tables alone; no results are read.
        imports: files with runs from elsewhere, or one.

    Raises:
        SpecError: there is no such sweep, table or source, or a file cannot be used.
        LedgerError: the plan of a sweep that was asked for cannot be read.
    """
    files = tuple(map(Path, several(imports)))
    named = None if tables is None else several(tables)
    return build_report(results_root(results), several(sweeps), named, against, published_only, files)
