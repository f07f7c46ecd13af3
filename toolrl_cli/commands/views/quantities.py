"""Estimates as text: `20 s–48 s–90 s`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from toolrl_cli.commands.views.clock import duration
from toolrl_cli.planning.forecasts.ranges import Range, total
from toolrl_cli.planning.forecasts.sizes import BYTES, disk_text, number_text
from toolrl_cli.wording import counted

UNKNOWN = "unknown"
DASH = "–"


def time_text(found: Range | None) -> str:
    """A time, low – expected – high."""
    return range_text(found, _span)


def size_text(found: Range | None) -> str:
    """Bytes, likewise."""
    if found is None:
        return UNKNOWN
    if not found.high:
        return "none"
    number, unit = disk_text(found.expected).split(" ")
    size = BYTES[unit]
    parts = [number_text(found.low / size), number, number_text(found.high / size)]
    return f"{number if len(set(parts)) == 1 else DASH.join(parts)} {unit}"


def hours_text(found: Range | None) -> str:
    """GPU-hours, likewise."""
    return range_text(found, number_text)


def range_text(found: Range | None, text: Callable[[float], str]) -> str:
    """One value where all three read the same; `unknown` for None."""
    if found is None:
        return UNKNOWN
    parts = [text(found.low), text(found.expected), text(found.high)]
    return parts[0] if len(set(parts)) == 1 else DASH.join(parts)


def sum_text(found: Iterable[Range | None], text: Callable[[Range | None], str]) -> str:
    """The sum of what is known, and how many are not; empty where there is nothing to add."""
    values = list(found)
    if not values:
        return ""
    known = [value for value in values if value is not None]
    missing = len(values) - len(known)
    if not known:
        return UNKNOWN
    return text(total(known)) + (f" + {missing} {UNKNOWN}" if missing else "")


def total_text(found: Range | None, text: Callable[[Range | None], str], missing: int) -> str:
    """A total over stages, and of how many it is unknown: `at least 3 min–5 min–9 min (2 stages unknown)`."""
    if found is None or not missing:
        return text(found)
    return f"at least {text(found)} ({counted(missing, 'stage')} {UNKNOWN})"


def most_text(found: Iterable[Range | None], text: Callable[[Range | None], str]) -> str:
    """The greatest of what is known, likewise."""
    values = list(found)
    if not values:
        return ""
    known = [value for value in values if value is not None]
    if not known:
        return UNKNOWN
    greatest = max(known, key=lambda value: value.expected)
    return text(greatest) + (f", {len(values) - len(known)} {UNKNOWN}" if len(known) < len(values) else "")


def _span(seconds: float) -> str:
    return f"{seconds / 3600:,.0f} h" if seconds >= 36_000 else duration(seconds)
