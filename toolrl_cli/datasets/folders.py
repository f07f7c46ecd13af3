"""Folders that appear complete or not at all, even when several processes create the same one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

ATTEMPTS = 5


def build_folder(target: Path, fill: Callable[[Path], None], accept: Callable[[Path], bool]) -> None:
    """Create `target` with `fill` unless it already is a folder that `accept` approves.

    Args:
        target: the folder; existing content that is not accepted is replaced.
        fill: writes the content into the empty folder passed to it.
        accept: returns whether a folder already has the wanted content.

    Raises:
        OSError: the folder cannot be written.
    """
    if accept(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        fill(temporary)
        temporary.chmod(0o755)  # mkdtemp creates folders that only their owner can read
        for attempt in range(1, ATTEMPTS + 1):
            if accept(target):  # another process was faster; somebody may be reading its folder already
                return
            shutil.rmtree(target, ignore_errors=True)
            try:
                temporary.rename(target)
                return
            except OSError:
                if attempt == ATTEMPTS:
                    raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
