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
        Content is never None: a file that holds `null` holds nothing.
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
        content = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return None, f"{path.name} is not valid JSON ({_first_line(error)})"
    if content is None:
        return None, f"{path.name} holds nothing but null"
    return _encodable(content, text), None


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
                    yield _encodable(row, line)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return


def number(value: Any) -> float | None:
    """`value` as a finite float, or None: booleans, text, NaN and infinities are no numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _encodable(value: Any, text: str) -> Any:
    """Parsed JSON with half surrogates, which no file can hold, replaced by `?`; `text` is what was parsed."""
    if "\\ud" not in text and "\\uD" not in text:
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_encodable(v, text) for v in value]
    if isinstance(value, dict):
        return {_encodable(k, text): _encodable(v, text) for k, v in value.items()}
    return value


def _first_line(error: BaseException) -> str:
    # An OSError's own text names the whole path, which is another one on another machine.
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = (told or type(error).__name__).splitlines()[0]
    return text if len(text) <= 80 else text[:79] + "…"
