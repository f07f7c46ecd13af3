"""What a caller gives where several of a thing may be given."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

Named = TypeVar("Named", str, Path, Path | str)


def several(given: Named | Iterable[Named]) -> list[Named]:
    """One name or path as the only one of its list: the letters of a text are no names."""
    return [given] if isinstance(given, (str, Path)) else list(given)
