"""Where tables are printed: a terminal at its width, a pipe without breaking lines, in whatever it can show."""

from __future__ import annotations

import codecs
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

UNBROKEN = 1000
"""Columns for a pipe, whose reader has none of its own: an id that is broken in two is not found."""

PLAIN = str.maketrans(
    {
        **dict.fromkeys("–—−─━═╌", "-"),
        **dict.fromkeys("│┃║", "|"),
        **dict.fromkeys("“”", '"'),
        **dict.fromkeys("‘’", "'"),
        **{"·": ".", "…": "...", "→": "->", "±": "+-", "×": "x", "≤": "<=", "≥": ">=", "≈": "~", "α": "a"},
    }
)
"""Signs of ours → what says the same in ASCII."""


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """What an encoding cannot say, in signs that it can; of what there is no such sign for, its number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error("toolrl-plainer", _plainer)


def never_refuse() -> None:
    """Let standard output and error take every text, also where the locale is Latin-1 or ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="toolrl-plainer")


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
