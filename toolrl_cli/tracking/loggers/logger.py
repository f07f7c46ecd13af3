"""What a logger beside W&B has to do, and which there are."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from toolrl_cli.errors import SpecError
from toolrl_cli.tracking.place import Place
from toolrl_cli.tracking.told import MINUTES, ROW, STEP, Outcome, Told

PACKAGES = {"tensorboard": "tensorboard", "mlflow": "mlflow", "trackio": "trackio", "swanlab": "swanlab"}
"""Logger → the package that it needs."""

AT_END = ("swanlab",)
"""Loggers that are given a run when it is over."""

Point = tuple[int, dict[str, float]]
"""A step, and what was measured there: finite numbers only."""


class Logger(Protocol):
    """One run in a logger; made by the module's `start`, which raises `TrackingError` as `log` and `close` do."""

    def log(self, points: Sequence[Point]) -> None:
        """Give points to it; they are kept once this returns."""

    def close(self, outcome: Outcome = "finished") -> None:
        """Nothing more comes now; the run may be started again."""


def start(logger: str, told: Told, place: Place, results: Path) -> Logger:
    """Open a run in a logger, which goes on where it has one of the id.

    Raises:
        TrackingError: it refuses, or does not answer.
        SpecError: it is not installed.
    """
    check_installed([logger], "tracking.loggers")
    module = importlib.import_module(f"toolrl_cli.tracking.loggers.{logger}_logger")
    opened: Logger = module.start(told, place, results)
    return opened


def check_installed(loggers: Iterable[str], where: str) -> None:
    """Check that what loggers need is there.

    Raises:
        SpecError: one is not.
    """
    for logger in loggers:
        if importlib.util.find_spec(PACKAGES[logger]) is None:
            raise SpecError(f"{logger} is not installed", where, f"pip install {PACKAGES[logger]}")


def points(rows: Iterable[Mapping[str, Any]]) -> Iterator[Point]:
    """Rows over whole steps: RL's and SFT's own, and the machine's over seconds at work."""
    for row in rows:
        if MINUTES in row:
            step = round(60 * row[MINUTES])
        else:
            step = int(row.get(STEP, row.get("sft/step", 0)))
        named = {name: value for name, value in row.items() if name not in (ROW, STEP, "sft/step", MINUTES)}
        if values := {name: float(value) for name, value in named.items() if _finite(value)}:
            yield step, values


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
