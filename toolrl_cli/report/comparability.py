"""Whether scores may be compared: the one rule for tables, pairs, claims, aggregates, curves and the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from toolrl_cli.report.model import Cell

MIXED = "mixed"
"""State of a cell whose seeds were scored under different conditions."""


def _either(values: Iterable[str]) -> str:
    """The differing conditions, in words."""
    return " / ".join(value or "not said" for value in sorted(values))


def apart(conditions: Iterable[Mapping[str, str]]) -> str:
    """In which conditions scores differ, in words; empty if they may be compared, or averaged.

    A condition that one of them does not know, such as the version of imported scores, does not part them.
    """
    kinds: dict[str, set[str]] = {}
    for known in conditions:
        for key, value in known.items():
            kinds.setdefault(key, set()).add(value)
    return "; ".join(f"{key}: {_either(v)}" for key, v in sorted(kinds.items()) if len(v) > 1)


def scored_apart(cells: Iterable[Cell]) -> str:
    """The conditions in which these cells were scored differently, in words; empty if they may be compared."""
    return apart(cell.conditions for cell in cells)


def not_comparable(a: Cell, b: Cell) -> str:
    """Why two cells may not be compared; empty if they may."""
    if MIXED in (a.state, b.state):
        return "the seeds of one of them were scored differently"
    told = scored_apart((a, b))
    return f"scored differently ({told})" if told else ""
