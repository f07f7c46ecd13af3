"""Reading files that another process may have left half written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_json(path: Path) -> tuple[Any, str | None]:
    """The content of a JSON file, or why there is none.

    Returns:
        (content, None); (None, None) where there is no file; (None, fault) where it cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None, None
    except (OSError, UnicodeDecodeError) as error:
        return None, f"{path.name} cannot be read ({_first_line(error)})"
    if not text.strip():
        return None, f"{path.name} is empty"
    try:
        return json.loads(text, parse_constant=_refuse_constant), None
    except (ValueError, RecursionError) as error:
        return None, f"{path.name} is not valid JSON ({_first_line(error)})"


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a JSON-lines file; torn and foreign lines are passed over, no file gives none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(row, dict):
                    yield row
    except FileNotFoundError:
        return


def number(value: Any) -> float | None:
    """`value` as a finite float, or None: booleans, text, NaN and infinities are no numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _first_line(error: BaseException) -> str:
    text = (str(error) or type(error).__name__).splitlines()[0]
    return text if len(text) <= 80 else text[:79] + "…"
