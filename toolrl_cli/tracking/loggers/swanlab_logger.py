"""SwanLab: `$SWANLAB_MODE`, else online where `$SWANLAB_API_KEY` is set; else offline below `RESULTS/swanlab`.

It has one open run a process, and offline a folder for each time that it is opened: `swanlab sync` brings them
together. So a run is given to it when it is over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.errors import TrackingError
from toolrl_cli.spec.secrets import scrubbed
from toolrl_cli.tracking.loggers.logger import Point
from toolrl_cli.tracking.place import Place
from toolrl_cli.tracking.told import Outcome, Told
from toolrl_cli.wording import first_line

FAULTS = (OSError, ValueError, RuntimeError)
MAX_ID = 64
STATE: Mapping[Outcome, str] = {"finished": "success", "failed": "crashed", "stopped": "aborted"}
SILENT = ("hardware", "runtime", "requirements", "git", "monitor")
"""What it would take down of the machine by itself, the command line included."""


class SwanLab:
    """One run."""

    def __init__(self, told: Told, place: Place, folder: Path) -> None:
        import swanlab

        self._swanlab: Any = swanlab
        self._told, self._project, self._folder = told, place.project, folder

    def log(self, points: Sequence[Point]) -> None:
        """See `Logger`."""
        told = self._told
        mode = os.environ.get("SWANLAB_MODE") or (
            "online" if os.environ.get("SWANLAB_API_KEY") else "offline"
        )
        settings = {"probe": dict.fromkeys(SILENT, False), "terminal": {"proxy_type": "none"}}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._swanlab.init(
                project=self._project,
                name=told.name,
                id=re.sub(r"\W", "_", told.id)[-MAX_ID:],
                resume="allow",
                mode=mode,
                log_dir=str(self._folder),
                group=told.group,
                job_type=told.job_type,
                tags=list(told.tags),
                description=told.notes or None,
                config=dict(told.config),
                settings=self._swanlab.Settings(**settings),
            )
            for step, values in points:
                self._swanlab.log(values, step=step)
            state = STATE[told.outcome]
            self._swanlab.finish(state=state, error=None if state == "success" else told.outcome)
        except FAULTS as error:
            raise TrackingError(str(scrubbed(first_line(error)))) from error

    def close(self, outcome: Outcome = "finished") -> None:
        """See `Logger`: it has ended by itself."""


def start(told: Told, place: Place, results: Path) -> SwanLab:
    """See `logger.start`."""
    return SwanLab(told, place, results / "swanlab")
