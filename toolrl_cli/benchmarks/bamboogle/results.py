"""Search results as the released script shows them to a model."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 5
"""Results of a search, most."""
NOTHING = "Search Error: Timeout"
"""Where nothing was found."""


def numbered(entries: Sequence[str]) -> str:
    """Results one below the other, counted from 1."""
    return "\n".join(f"{number}. {entry}" for number, entry in enumerate(entries, start=1))
