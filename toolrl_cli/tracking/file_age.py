"""How old a file is by the clock of its file system: those of two machines need not agree."""

from __future__ import annotations

import os
import time
from pathlib import Path


def seconds_old(path: Path) -> float | None:
    """Seconds since a file was last written; None where there is none.

    A file that is made beside it tells what time it is there; where none can be made, this machine's clock does.
    """
    try:
        written = path.stat().st_mtime
    except OSError:
        return None
    probe = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        handle = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError:  # a results root of somebody else's
        return time.time() - written
    try:
        os.write(handle, b"\n")
        return os.fstat(handle).st_mtime - written
    finally:
        os.close(handle)
        probe.unlink(missing_ok=True)
