"""Sweeps that were started before: where they stand, and stopping them."""

from __future__ import annotations

from pathlib import Path

from toolrl_cli.planning.sweep_status import SweepStatus, sweep_status
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.roots import results_root
from toolrl_cli.store.sweep_folder import saved_sweep


def status(name: str | None = None, *, results: Path | str | None = None) -> SweepStatus:
    """Where the runs of a sweep stand; shows itself in a notebook, and `.to_frame()` has a row for each run.

    Args:
        name: the sweep; None for the one planned last.
        results: the results root; None for `$TOOLRL_RESULTS`, then `results/`.

    Raises:
        SpecError: there is no such sweep.
        LedgerError: its plan or the results root cannot be read.
    """
    root = results_root(results)
    return sweep_status(saved_sweep(root, name), Ledger(root))
