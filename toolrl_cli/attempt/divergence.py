"""Whether a training is lost: loss or reward that are not numbers any more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.store.failures import Failure
from toolrl_cli.store.progress.metrics import last_rows

NO_TOKENS = {
    "train/loss": "sft.max_length cuts the answers off: raise it, or leave out the rows that are longer"
}
"""What to do where a loss is over no token."""
LOST_ROWS = 100  # rows of metrics that are looked at for the step at which the loss was lost

MUST_BE_FINITE = (
    "actor/loss",
    "actor/pg_loss",
    "critic/vf_loss",
    "train/loss",
    "critic/score/mean",
    "reward/total/mean",
)
"""Metrics that mean the run is lost once they are not numbers (verl's file logger writes NaN as null)."""


def diverged(metrics: Path) -> Failure | None:
    """The failure of an attempt whose last steps have no finite loss or reward, or a loss over nothing; else None."""
    rows = last_rows(metrics, LOST_ROWS)
    key, step = lost_since(rows) or ("", 0)
    if key and all(over_no_tokens(row["data"], key) for row in rows if row["step"] == step):
        what = f"{key} is over no token since step {step}: nothing that is trained is left of the rows"
        return Failure.of("config", what, NO_TOKENS.get(key, ""))
    return Failure.of("diverged", f"{key} is not a finite number since step {step}") if key else None


def lost_since(rows: Sequence[Mapping[str, Any]]) -> tuple[str, int] | None:
    """Which loss or reward a training has lost, and since which step; None where it has not.

    One step without it may be an outlier that verl skips; two in a row are not.

    Args:
        rows: of its metrics, `{"step", "data"}`, oldest first.
    """
    rows = [row for row in rows if any(key in row["data"] for key in MUST_BE_FINITE)]
    for key in MUST_BE_FINITE:
        finite = [number for number, row in enumerate(rows) if not not_finite(row["data"], key)]
        lost = rows[finite[-1] + 1 :] if finite else rows
        if len(lost) >= 2:
            return key, lost[0]["step"]
    return None


def over_no_tokens(data: Mapping[str, Any], key: str) -> bool:
    """Whether the loss is 0 / 0: it is no number, and yet the norm of its gradient is 0 and not lost with it."""
    return not_finite(data, key) and data.get(f"{key.partition('/')[0]}/grad_norm") == 0.0


def not_finite(data: Mapping[str, Any], key: str) -> bool:
    """Whether the metric was logged and is no number."""
    value = data.get(key, 0.0)
    return value is None or (isinstance(value, float) and not math.isfinite(value))
