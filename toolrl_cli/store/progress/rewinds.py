"""Where a stage was set back: what its earlier attempts logged beyond does not count any more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolrl_cli.store.files import read_whole
from toolrl_cli.store.schemas import REWINDS


def read_rewinds(stage_dir: Path) -> list[dict[str, Any]]:
    """`{"attempt", "step", "reason", "time"}` of each time, oldest first.

    Up to `attempt`, what was logged counts up to and including `step`; nothing does where that is -1.

    Raises:
        OSError: the file is there and cannot be read.
        LedgerError: a later version wrote it.
    """
    try:
        data = REWINDS.current(json.loads(read_whole(stage_dir / REWINDS.name)), f"stage {stage_dir.name}")
        return [entry for entry in data["rewinds"] if type(entry["attempt"]) is type(entry["step"]) is int]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):  # edited; it is written atomically
        return []


def counts(stage_dir: Path) -> Callable[[int, int], bool]:
    """Says of (attempt, step) whether what was logged there still counts.

    Raises:
        OSError, LedgerError: as `read_rewinds`.
    """
    rewinds = [(entry["attempt"], entry["step"]) for entry in read_rewinds(stage_dir)]

    def still_counts(attempt: int, step: int) -> bool:
        return all(step <= last for upto, last in rewinds if attempt <= upto)

    return still_counts
