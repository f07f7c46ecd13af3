"""The training metrics of a stage: one row per step, whatever the number of attempts it took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.store import jsonl
from toolrl_cli.store.progress.rewinds import counts

FILE = "metrics.jsonl"
MACHINE_FILE = "machine.jsonl"


@dataclass(frozen=True)
class LoggedRow:
    """One line of an attempt's `metrics.jsonl`.

    Attributes:
        attempt: the attempt's number.
        line: which of its rows, from 0 on.
        step: the training step.
        data: metric → value; None where it was not finite.
    """

    attempt: int
    line: int
    step: int
    data: dict[str, Any]


@dataclass(frozen=True)
class MachineSample:
    """One line of an attempt's `machine.jsonl`.

    Attributes:
        attempt: the attempt's number.
        line: which of its samples, from 0 on.
        time: seconds since 1970.
        data: what the attempt used, and how busy its machine was, as `processes.usage` names it.
    """

    attempt: int
    line: int
    time: float
    data: dict[str, Any]


def machine_samples(stage_dir: Path) -> list[MachineSample]:
    """What all attempts of a stage used of their machines, in the order in which it was written.

    Raises:
        OSError: a file is there and cannot be read.
    """
    return [
        MachineSample(int(attempt.name), line, float(row["time"]), row["data"])
        for attempt in attempt_folders(stage_dir)
        for line, row in enumerate(jsonl.read(attempt / MACHINE_FILE))
        if isinstance(row.get("time"), (int, float)) and isinstance(row.get("data"), dict)
    ]


def counting_rows(stage_dir: Path) -> list[LoggedRow]:
    """The rows of all attempts that are part of the training curve, in the order in which they were logged.

    An attempt goes on from a checkpoint, so steps that an earlier one had trained beyond it are trained
    again: rows of these are left out, because they belong to a model which is gone. At the step that it starts
    from, a later attempt may log a validation alone: what an earlier one said there counts as well. Where the stage
    was set back on purpose (`rewinds`), earlier attempts count up to there.

    Args:
        stage_dir: `RESULTS/stages/<kind>/<id>`.

    Raises:
        OSError: a file is there and cannot be read.
        LedgerError: a later version wrote down where the stage was set back.
    """
    kept: list[LoggedRow] = []
    still_counts = counts(stage_dir)
    for attempt in attempt_folders(stage_dir):
        n = int(attempt.name)
        logged = (
            LoggedRow(n, line, row["step"], row["data"])
            for line, row in enumerate(_valid(jsonl.read(attempt / FILE)))
        )
        rows = [row for row in logged if still_counts(n, row.step)]
        first = min((row.step for row in rows), default=None)
        if first is not None:
            said = {name for row in rows if row.step == first for name in row.data}
            kept = [r for r in kept if r.step < first or (r.step == first and r.data.keys() - said)] + rows
    return kept


def merge_metrics(stage_dir: Path) -> list[dict[str, Any]]:
    """The metrics of all attempts as one training curve: what `counting_rows` has, a row for each step.

    verl logs training and validation of one step in one row or in two. At the step that it starts from, a later attempt
    may log a validation alone; there its values are laid over the earlier ones.

    Args:
        stage_dir: `RESULTS/stages/<kind>/<id>`.

    Returns:
        `{"step": int, "data": {name: value}}` by ascending step; a metric that was not finite is None.

    Raises:
        OSError: a file is there and cannot be read.
        LedgerError: a later version wrote down where the stage was set back.
    """
    merged: dict[int, dict[str, Any]] = {}
    for row in counting_rows(stage_dir):
        merged.setdefault(row.step, {}).update(row.data)
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


def _valid(rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return (row for row in rows if type(row.get("step")) is int and isinstance(row.get("data"), dict))
