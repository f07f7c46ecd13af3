"""The sweep that a command means: by name, or the newest."""

from __future__ import annotations

from pathlib import Path

from toolrl_cli.errors import SpecError
from toolrl_cli.store.sweep_folder import SavedSweep, SweepFolder, saved_names


def saved_sweep(results: Path, name: str | None) -> SavedSweep:
    """The sweep called so; without a name the one planned last.

    Raises:
        SpecError: there is none.
        LedgerError: its plan cannot be read.
    """
    if name is None:
        names = saved_names(results)
        if not names:
            raise SpecError("there are no sweeps", str(results), "run `toolrl sweep FILE`, or give --results")
        name = names[0]
    return SweepFolder(results, name).load()
