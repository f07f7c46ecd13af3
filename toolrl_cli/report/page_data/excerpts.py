"""Texts as a page holds them: whole where they are short, else their beginning and end."""

from __future__ import annotations

import json
from typing import Any

EXCERPT = 6_000


def text_of(value: Any) -> str:
    """A value as text: JSON where it is none; empty for None."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def excerpt(value: Any, most: int = EXCERPT) -> str:
    """A text; of a long one its beginning and its end, where the question stands."""
    text = text_of(value)
    half = most // 2
    if len(text) <= most:
        return text
    return f"{text[:half]}\n… {len(text) - 2 * half} characters …\n{text[-half:]}"


def weight(text: str) -> int:
    """Bytes that a text takes in the page, where `<` is written as an escape."""
    return len(json.dumps(text, ensure_ascii=False).encode()) + 5 * text.count("<")
