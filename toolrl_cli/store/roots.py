"""Where results are, for every command and every function, and for every command that a line tells to issue."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path

from toolrl_cli.errors import LedgerError
from toolrl_cli.store.schemas import ROOT

NOTHING_YET = "`toolrl list` names sweeps that can be run; or give --results"
"""What to do where a results root holds no sweep."""


def results_root(given: Path | str | None = None) -> Path:
    """The results root: what is given, else `$TOOLRL_RESULTS`, else `results/`."""
    return Path(given or os.environ.get("TOOLRL_RESULTS") or "results").expanduser().absolute()


def original_of(results: Path) -> Path | None:
    """The results tree that this one is a copy of, as long as that is still there; None where it is its own.

    `RESULTS/root.json` says where the tree is and has a token of its own; a copy has both from the original.
    """
    with contextlib.suppress(LedgerError):
        record = ROOT.load(results / ROOT.name) or {}
        recorded = Path(str(record.get("path", "")))
        there = ROOT.load(recorded / ROOT.name) or {} if record.get("token") else {}
        if there.get("token") == record.get("token") and there and not recorded.samefile(results):
            return recorded
    return None


def command(*words: str, results: Path) -> str:
    """A `toolrl` command as it can be pasted here: with `--results` where it would look elsewhere without."""
    root = () if results.absolute() == results_root() else ("--results", str(results.absolute()))
    return shlex.join(["toolrl", *words, *root])
