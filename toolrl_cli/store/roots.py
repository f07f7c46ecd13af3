"""Where results are, for every command and every function."""

from __future__ import annotations

import os
from pathlib import Path


def results_root(given: Path | str | None = None) -> Path:
    """The results root: what is given, else `$TOOLRL_RESULTS`, else `results/`."""
    return Path(given or os.environ.get("TOOLRL_RESULTS") or "results").expanduser().absolute()
