"""Remembers the option sets that verl accepted, so that later commands need not import verl.

The file has one digest a line and lies in the user's cache folder (`$TOOLRL_CACHE`, then
`$XDG_CACHE_HOME/toolrl`, then `~/.cache/toolrl`). It may be deleted at any time: sets that are not in it are
checked again. Refused sets are not remembered.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

NAME = "verl_accepts.txt"
MAX_BYTES = 4_000_000
"""A larger file is started anew; this is 100,000 option sets, or 20,000 files (`file_digests`)."""


def cache_folder() -> Path:
    """The user's cache folder for toolrl; may not exist."""
    given = os.environ.get("TOOLRL_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "toolrl"


def digest(kind: str, options: Mapping[str, Any]) -> str:
    """The key of a verdict: digest of verl's version, the checking code, and the options in their order."""
    text = json.dumps([_checker(), kind, list(options.items())], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@lru_cache
def _checker() -> str:
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        code.update(path.read_bytes())
    return f"{metadata.version('verl')}-{code.hexdigest()[:16]}"


def accepted() -> set[str]:
    """Digests of accepted option sets; empty where the file is missing or cannot be read."""
    try:
        return set((cache_folder() / NAME).read_text(encoding="ascii").split())
    except (OSError, UnicodeDecodeError):
        return set()


def remember(digests: Iterable[str]) -> None:
    """Add accepted option sets; if the file cannot be written, they are only checked again."""
    append(NAME, "".join(f"{d}\n" for d in digests))


def append(name: str, lines: str) -> None:
    """Add lines to a file in the user's cache folder, which does without them where it cannot be written."""
    file = cache_folder() / name
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and file.stat().st_size > MAX_BYTES:
            file.unlink()
        with file.open("a", encoding="utf-8") as out:
            out.write(lines)
    except OSError:
        pass
