"""Where results are, for every command and every function, and for every command that a line tells to issue."""

from __future__ import annotations

import os
import shlex
from pathlib import Path


def results_root(given: Path | str | None = None) -> Path:
    """The results root: what is given, else `$TOOLRL_RESULTS`, else `results/`."""
    return Path(given or os.environ.get("TOOLRL_RESULTS") or "results").expanduser().absolute()


def command(*words: str, results: Path) -> str:
    """A `toolrl` command as it can be pasted here: with `--results` where it would look elsewhere without."""
    root = () if results.absolute() == results_root() else ("--results", str(results.absolute()))
    return shlex.join(["toolrl", *words, *root])
