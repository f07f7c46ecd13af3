"""A stop that lets RL save first, where whoever stops it says how long that may take: the end of a job's time.

The trainer is asked by a file (`save_callback`), saves at the end of the step that it is in, and says so by another.
It is ended once that step is logged, too: what goes on from a checkpoint does not log its step again. The checkpoint
is one to go on from, and no more: the best one is chosen among the steps that the settings name.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.log import LOG
from toolrl_cli.store.progress.metrics import FILE, last_rows

WITHIN = "TOOLRL_SAVE_WITHIN"
"""Variable of the attempt, set when it is asked to stop: seconds that it has for a step and a checkpoint."""

SAVE_IN = "TOOLRL_SAVE_IN"
"""Variable of the trainer: the attempt's folder."""

OPTION = "trainer.checkpoint_callback_class"
CALLBACK = "toolrl_cli.training.checkpointing.save_callback.SaveWhenAsked"
"""verl's option, and its value."""

ASKED, SAVED = "save", "saved"
"""The two files in the attempt's folder; the second has the step."""


def saves_when_asked(options: Mapping[str, Any]) -> bool:
    """Whether a trainer with these options of verl does; a callback of the user's takes that one's place."""
    return {value for name, value in options.items() if name.lstrip("+") == OPTION} == {CALLBACK}


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
        """True once it was asked to stop and its step is saved and logged, or it has had its time."""
        if not self._stop_requested():
            return False
        if self._deadline is None:
            self._deadline = time.monotonic() + self._asked()
        return time.monotonic() >= self._deadline or self._is_logged()

    def _asked(self) -> float:
        """Ask the trainer; seconds that it has."""
        given = os.environ.get(WITHIN) or "0"
        try:
            within = float(given)
            if not 0 < within < math.inf:
                return 0.0
            (self._attempt / ASKED).touch()
        except ValueError:
            LOG.warning("%s=%s is no number of seconds: ends without a last checkpoint", WITHIN, given)
            return 0.0
        except OSError as error:
            LOG.warning("cannot ask for a checkpoint: %s", error)
            return 0.0
        LOG.info("saves at the end of this step, if that comes within %.0f s", within)
        return within

    def _is_logged(self) -> bool:
        try:
            step = int((self._attempt / SAVED).read_text())
        except (OSError, ValueError):
            return False
        return any(row["step"] >= step for row in last_rows(self._attempt / FILE, 1))
