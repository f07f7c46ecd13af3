"""Trackio: `$TRACKIO_SPACE_ID` or `$TRACKIO_SERVER_URL`, else `$TRACKIO_DIR`, else `RESULTS/trackio`.

It has one open run a process, so a run is opened for each sending, and goes on where it was.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.errors import TrackingError
from toolrl_cli.spec.secrets import scrubbed
from toolrl_cli.tracking.loggers.logger import Point
from toolrl_cli.tracking.place import Place
from toolrl_cli.tracking.told import Outcome, Told
from toolrl_cli.wording import first_line

FAULTS = (OSError, ValueError, RuntimeError, ConnectionError)


class Trackio:
    """One run."""

    def __init__(self, told: Told, place: Place) -> None:
        import trackio

        self._trackio: Any = trackio
        self._told, self._project = told, place.project

    def log(self, points: Sequence[Point]) -> None:
        """See `Logger`."""
        told = self._told
        try:
            with contextlib.redirect_stdout(sys.stderr):
                self._trackio.init(
                    project=self._project,
                    name=told.id,
                    group=told.group,
                    config={**told.config, "tags": list(told.tags), "notes": told.notes},
                    resume="allow",
                    embed=False,
                    auto_log_gpu=False,
                    auto_log_cpu=False,
                )
                for step, values in points:
                    self._trackio.log(values, step=step)
                self._trackio.finish()
        except FAULTS as error:
            raise TrackingError(str(scrubbed(first_line(error)))) from error

    def close(self, outcome: Outcome = "finished") -> None:
        """See `Logger`: each sending has ended by itself, and it has no word for the outcome."""


def start(told: Told, place: Place, results: Path) -> Trackio:
    """See `logger.start`."""
    os.environ.setdefault("TRACKIO_DIR", str(results / "trackio"))  # read when it is imported
    return Trackio(told, place)
