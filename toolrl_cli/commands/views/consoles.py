"""Where tables are printed: a terminal at its width, a pipe without breaking lines."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

UNBROKEN = 1000
"""Columns for a pipe, whose reader has none of its own: an id that is broken in two is not found."""


def stdout_console() -> Console:
    """Standard output: as wide as the terminal or `$COLUMNS`; a pipe or file as wide as its longest row."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = UNBROKEN
    return console


def coloured() -> bool:
    """Whether what others coloured is passed on: to a terminal, unless `$NO_COLOR` is set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
