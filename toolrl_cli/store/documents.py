"""JSON documents that another process may have left half written: what they hold, or why they cannot be used."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from toolrl_cli.errors import ToolrlError
from toolrl_cli.store.files import open_to_read
from toolrl_cli.wording import cut


def read_document(path: Path) -> tuple[Any, str | None]:
    """The content of a JSON file, or why there is none.

    Returns:
        (content, None); (None, None) where there is no file; (None, fault) where it cannot be used.
        Content is never None: a file that holds `null` holds nothing.
    """
    try:
        with open_to_read(path) as file:
            text = file.read().decode("utf-8")
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
    return encodable(content, text), None


def fault_of(error: ToolrlError) -> str:
    """What cannot be read and why, in a clause."""
    name = Path(error.where).name
    return error.what if not name or name in error.what else f"{name} cannot be read ({error.what})"


def number(value: Any) -> float | None:
    """`value` as a finite float, or None: booleans, text, NaN and infinities are no numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number of hundreds of digits
        return None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def encodable(value: Any, text: str | bytes) -> Any:
    """Parsed JSON with half surrogates, which no file can hold, replaced by `?`.

    Args:
        value: what was parsed.
        text: what it was parsed from.
    """
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    return _replaced(value) if b"\\ud" in raw or b"\\uD" in raw else value


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_replaced(v) for v in value]
    if isinstance(value, dict):
        return {_replaced(k): _replaced(v) for k, v in value.items()}
    return value


def _first_line(error: BaseException) -> str:
    # An OSError's own text names the whole path, which is another one on another machine.
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = (told or type(error).__name__).splitlines()[0]
    return cut(text, 80)
