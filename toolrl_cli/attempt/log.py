"""Lines of toolrl itself in the log of an attempt."""

from __future__ import annotations

import contextlib
import sys


def say(message: str) -> None:
    """Put a line of toolrl's own into the attempt's log; a full disk must not be what ends the attempt."""
    with contextlib.suppress(OSError):
        print(f"toolrl: {message}", file=sys.stderr, flush=True)
