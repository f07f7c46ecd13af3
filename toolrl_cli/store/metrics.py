"""The training metrics of a stage: one row per step, whatever the number of attempts it took."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from toolrl_cli.store import jsonl
from toolrl_cli.store.rewinds import counts

FILE = "metrics.jsonl"


def merge_metrics(stage_dir: Path) -> list[dict[str, Any]]:
    """The metrics of all attempts as one training curve.

    An attempt goes on from a checkpoint, so steps that an earlier one had trained beyond it are trained
    again: what the later attempt says replaces them, and what it has not reached yet is dropped, because that
    belongs to a model which is gone. At the step it starts from, the later attempt may log a validation
    alone; there its values are laid over the earlier ones. Where the stage was set back on purpose
    (`rewinds`), earlier attempts count up to there.

    Args:
        stage_dir: `RESULTS/stages/<kind>/<id>`.

    Returns:
        `{"step": int, "data": {name: value}}` by ascending step; a metric that was not finite is None.

    Raises:
        OSError: a file is there and cannot be read.
        LedgerError: a later version wrote down where the stage was set back.
    """
    merged: dict[int, dict[str, Any]] = {}
    still_counts = counts(stage_dir)
    for attempt in attempt_folders(stage_dir):
        n = int(attempt.name)
        rows = _by_step(row for row in _valid(jsonl.read(attempt / FILE)) if still_counts(n, row["step"]))
        if not rows:
            continue
        first = min(rows)
        for step in [step for step in merged if step > first]:
            del merged[step]
        for step, data in rows.items():
            merged[step] = {**merged.get(step, {}), **data}
    return [{"step": step, "data": merged[step]} for step in sorted(merged)]


def last_rows(path: Path, count: int) -> list[dict[str, Any]]:
    """The last rows of one attempt's `metrics.jsonl`, oldest first."""
    return list(_valid(jsonl.end(path)))[-count:]


def attempt_folders(stage_dir: Path) -> list[Path]:
    """`attempts/<n>` in the order of n."""
    folder = stage_dir / "attempts"
    try:
        found = [entry for entry in folder.iterdir() if entry.name.isdecimal()]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda entry: int(entry.name))


class MetricsFollower:
    """The rows that an attempt logs, as they come."""

    def __init__(self, attempt_dir: Path) -> None:
        self._lines = jsonl.Follower(attempt_dir / FILE)

    def new(self) -> list[dict[str, Any]]:
        """Rows logged since the last call."""
        return list(_valid(self._lines.new()))


def _by_step(rows: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """verl logs training and validation of one step in one row or in two."""
    steps: dict[int, dict[str, Any]] = {}
    for row in rows:
        steps.setdefault(row["step"], {}).update(row["data"])
    return steps


def _valid(rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return (row for row in rows if type(row.get("step")) is int and isinstance(row.get("data"), dict))
