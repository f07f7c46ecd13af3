"""TensorBoard: `RESULTS/tensorboard/<id>/`, by its own writer; scalars alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tensorboard.summary import Writer

from toolrl_cli.errors import TrackingError
from toolrl_cli.tracking.loggers.logger import Point
from toolrl_cli.tracking.place import Place
from toolrl_cli.tracking.told import Outcome, Told


class TensorBoard:
    """One run's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._writer = Writer(str(folder))
        except OSError as error:
            raise TrackingError(error.strerror or str(error), str(folder)) from error

    def log(self, points: Sequence[Point]) -> None:
        """See `Logger`."""
        try:
            for step, values in points:
                for name, value in values.items():
                    self._writer.add_scalar(name, value, step)
            self._writer.flush()
        except OSError as error:
            raise TrackingError(error.strerror or str(error), str(self._folder)) from error

    def close(self, outcome: Outcome = "finished") -> None:
        """See `Logger`; it has no word for the outcome."""
        try:
            self._writer.close()
        except OSError as error:
            raise TrackingError(error.strerror or str(error), str(self._folder)) from error


def start(told: Told, place: Place, results: Path) -> TensorBoard:
    """See `logger.start`."""
    return TensorBoard(results / "tensorboard" / told.id)
