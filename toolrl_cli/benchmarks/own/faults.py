"""What a user's code gives that cannot be used."""

from __future__ import annotations

import math
from typing import Any

from toolrl_cli.wording import cut


class Unusable(Exception):
    """The user's code gives what cannot be used; as text, what."""


def told(error: BaseException) -> str:
    """What went wrong in a user's code, for one line."""
    return str(error) if isinstance(error, Unusable) else f"raised {type(error).__name__}: {error}"


def metric_fault(value: Any, correct: Any, total: Any, *, of_means: bool = False) -> str:
    """Why a metric's numbers cannot be used; empty where they can.

    Args:
        value: its value.
        correct, total: the counts behind it.
        of_means: whether it may have a total alone, as a mean of means has.
    """
    try:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        is_number = False
    if not is_number:
        return f"{cut(repr(value), 40)} is no number"
    counts = [n for n in (correct, total) if n is not None]
    if any(not isinstance(n, int) or isinstance(n, bool) or n < 0 for n in counts):
        return f"correct and total are whole numbers, not {cut(repr([correct, total]), 40)}"
    lone = len(counts) == 1 and not (of_means and correct is None)
    return f"{correct} are right of {total}" if lone or (correct or 0) > (total or 0) else ""
