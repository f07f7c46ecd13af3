"""Scores made by running the released scorer (ToolRL 8cee13e): ours, and the larger set where it is there."""

from __future__ import annotations

import gzip
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OURS = HERE / "released_scores.jsonl"
SHARED = HERE.parents[2] / "shared" / "golden" / "rewards.jsonl.gz"


@lru_cache(maxsize=1)
def golden_rows() -> list[dict[str, Any]]:
    """Rows of `variant, step, completion, ground_truth` and `format, correctness, length, score`."""
    rows = [json.loads(line) for line in OURS.read_text(encoding="utf-8").splitlines()]
    if SHARED.exists():
        with gzip.open(SHARED, "rt", encoding="utf-8") as lines:
            rows += [json.loads(line) for line in lines]
    return rows
