"""A stop that lets RL save first, where whoever stops it says how long that may take: the end of a job's time.

The trainer is asked by a file (`save_callback`), saves at the end of the step that it is in, and says so by another.
The checkpoint is one to go on from, and no more: the best one is chosen among the steps that the settings name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from toolrl_cli.log import LOG

WITHIN = "TOOLRL_SAVE_WITHIN"
"""Variable of the attempt, set when it is asked to stop: seconds that it has for a step and a checkpoint."""

SAVE_IN = "TOOLRL_SAVE_IN"
"""Variable of the trainer: the attempt's folder."""

CALLBACK = "toolrl_cli.training.checkpointing.save_callback.SaveWhenAsked"
"""Value of verl's option `trainer.checkpoint_callback_class`."""

ASKED, SAVED = "save", "saved"
"""The two files in the attempt's folder."""


class LastSave:
    """Whether the trainer is to end; for `run_child`.

    Args:
        attempt: the attempt's folder.
        stop_requested: whether the attempt was asked to stop.
    """

    def __init__(self, attempt: Path, stop_requested: Callable[[], bool]) -> None:
        self._attempt, self._stop_requested = attempt, stop_requested
        self._deadline: float | None = None

    def __call__(self) -> bool:
        """True once it was asked to stop and has saved, or has had its time."""
        if not self._stop_requested():
            return False
        if self._deadline is None:
            within = float(os.environ.get(WITHIN) or 0)
            self._deadline = time.monotonic() + within
            if within > 0:
                (self._attempt / ASKED).touch()
                LOG.info("saves at the end of this step, if that comes within %.0f s", within)
        return (self._attempt / SAVED).exists() or time.monotonic() >= self._deadline
