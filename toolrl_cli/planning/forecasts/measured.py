"""What stages took that have ended: the facts that estimates are made from."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.store import jsonl
from toolrl_cli.store.files import explained
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.progress.metrics import FILE
from toolrl_cli.store.progress.pace import read_pace
from toolrl_cli.store.schemas import ENVIRONMENT
from toolrl_cli.store.state import StageState

STEP_TIME = "timing_s/step"
"""verl's RL trainers log it for every step, in seconds; checkpoints are in it, validation is not."""
VALIDATION_TIME = "timing_s/testing"
PEAK_MEMORY = "perf/max_memory_allocated_gb"
"""End of the names under which verl logs, for each of its workers, the most that torch had allocated (GiB)."""
GIB = 1 << 30


@dataclass(frozen=True)
class Measurement:
    """What one stage took, as far as it came.

    Attributes:
        seconds: from start to end, of the one attempt that did all of it; None where none did.
        start_up: the part of it that does not grow with the steps; None where that is not known.
        step_seconds: of each step with its share of validation, or one mean; empty where that is not known.
        steps: how many were made, of a stage that succeeded.
        peak_memory: bytes that torch had allocated on the GPU that had most; None on a CPU.
        disk: bytes of the folder of a stage that succeeded, else 0.
        device: `cpu` or `cuda`.
        gpu: model of the GPU, where it is known.
        gpus: slots that it occupied.
    """

    seconds: float | None
    start_up: float | None
    step_seconds: tuple[float, ...]
    steps: int | None
    peak_memory: float | None
    disk: int
    device: str
    gpu: str
    gpus: int


def measure(folder: StageFolder, state: StageState, gpus: int) -> Measurement | None:
    """What a stage that has ended took; None where its files do not tell.

    All its attempts tell how long a step takes, whatever became of them: a stage that was stopped, or that failed
    between two steps, is measured as well.

    Args:
        folder, state: the stage.
        gpus: slots that it occupies.

    Raises:
        LedgerError: a file is there and the file system does not give it.
    """
    if state.active or not state.attempt:
        return None
    done = state.status == "succeeded"
    environment = ENVIRONMENT.load(folder.attempt(state.attempt) / ENVIRONMENT.name) or {}
    rows = [row for attempt in folder.attempts() for row in _rows(attempt)]
    times = tuple(_numbers(rows, STEP_TIME))
    if times:
        validation = sum(_numbers(rows, VALIDATION_TIME)) / len(times)  # it comes every few steps
        times = tuple(time + validation for time in times)
    pace = max(filter(None, map(read_pace, folder.attempts())), key=lambda pace: pace.steps, default=None)
    if not times and pace is not None:
        times = (pace.per_step,)
    if not times and not done:
        return None
    steps = state.progress.step if state.progress and done else None
    seconds = state.seconds if done and len(state.attempts) <= 1 else None
    start_up: float | None = None
    if times and seconds and steps:
        start_up = max(0.0, seconds - statistics.fmean(times) * steps)
    elif times and pace is not None:
        start_up = max(0.0, pace.start_up - times[0])
    device = "cuda" if on_gpus(state, environment) else "cpu"
    peaks = [value for row in rows for name, value in row.items() if name.endswith(PEAK_MEMORY)]
    peak = max((p for p in peaks if isinstance(p, (int, float))), default=None)
    models = environment.get("gpus") or [""]
    return Measurement(
        seconds=seconds or None,
        start_up=start_up,
        step_seconds=times,
        steps=steps,
        peak_memory=peak * GIB if peak is not None and done and device == "cuda" else None,
        disk=disk_use(folder.path) if done else 0,
        device=device,
        gpu=str(models[0]),
        gpus=gpus,
    )


def on_gpus(state: StageState, environment: Mapping[str, Any] | None = None) -> bool:
    """Whether the last attempt had GPUs: its own word, else the slots that its launcher gave it."""
    if environment and environment.get("devices"):
        return True
    slots = (state.launcher or {}).get("slots") or ()
    return any(not str(slot).startswith("cpu") for slot in slots)


def disk_use(folder: Path) -> int:
    """Bytes that the files below a folder occupy; 0 where there is none."""
    return sum(_sizes(folder))


def seconds_used(state: StageState, now: float) -> float:
    """Seconds that all attempts of a stage have run so far, by the ledger."""
    ended = (a.ended - a.started for a in state.attempts if a.started is not None and a.ended is not None)
    running = state.seconds_so_far(now) if state.status == "running" else 0.0
    return sum(max(0.0, seconds) for seconds in ended) + running


def _rows(attempt: Path) -> list[Mapping[str, Any]]:
    with explained(attempt):
        return [row["data"] for row in jsonl.read(attempt / FILE) if isinstance(row.get("data"), dict)]


def _numbers(rows: Sequence[Mapping[str, Any]], name: str) -> Iterator[float]:
    for row in rows:
        value = row.get(name)
        if isinstance(value, (int, float)) and value > 0:
            yield float(value)


def _sizes(folder: Path) -> Iterator[int]:
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118  many files, no objects
            except FileNotFoundError:
                continue  # a running stage removes old checkpoints
