"""Brings the loggers beside W&B up to date with the files.

They cannot all be asked what they have. So the keys of the rows that each was given are written down once it has taken
them: `RESULTS/sweeps/<sweep>/loggers/<logger>/<id>`. A kill in between repeats rows, and loses none.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LedgerError, SpecError, TrackingError
from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.store.files import explained, make_folder
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SavedSweep, SweepFolder
from toolrl_cli.tracking.feed import Feed
from toolrl_cli.tracking.loggers.logger import AT_END, Logger, check_installed, points, start
from toolrl_cli.tracking.place import place_of, publishing_alone, tracking_of
from toolrl_cli.tracking.status import LOGGERS, RunStatus, StatusWriter
from toolrl_cli.tracking.told import ROW, STEP, Told

PATIENCE = 5.0  # seconds for another process that is about to end


class LoggerFeed(Feed):
    """Feeds the loggers that a sweep names; as `Feed`, without a client of W&B."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._writers: dict[tuple[str, str], Logger] = {}
        self._given: dict[tuple[str, str], set[int]] = {}
        self._alone = threading.RLock()
        self._keys = self._ledger.results / "sweeps" / self._saved.name / "loggers"

    def bring(self, run: PlannedRun, told: Told, seen: object = None, *, stay: bool = False) -> bool:
        """Give each logger the rows that it was not given; see `Feed.bring`."""
        rows = [*told.rows] if stay else [*told.rows, *_end(told)]
        faults = []
        with self._alone:
            for logger in self._tracking.loggers:
                if stay and logger in AT_END:
                    continue
                try:
                    self._give(logger, told, rows, stay=stay)
                except Exception as error:  # each library has its own, and none may take the others with it
                    known = isinstance(error, (TrackingError, LedgerError, SpecError))
                    faults.append(f"{logger}: {error if known else f'{type(error).__name__}: {error}'}")
                    if failed := self._writers.pop((logger, told.id), None):
                        with contextlib.suppress(Exception):  # so that the next run can be opened
                            failed.close()
        count = len(told.rows)
        self._status.set(
            run.id, RunStatus(told.id, count, 0 if faults else count, told.digest, "; ".join(faults))
        )
        self.stale = self.stale or bool(faults)
        return not faults

    def bring_report(self) -> bool:
        """A report is no rows."""
        return True

    def renew(self) -> None:
        """Try again; of a logger that failed nothing is open."""
        self.stale = False

    def close(self) -> None:
        """Close what is open still."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _give(self, logger: str, told: Told, rows: Sequence[Mapping[str, Any]], *, stay: bool) -> None:
        path = self._keys / logger / told.id
        noted, given = _read(path), self._given.setdefault((logger, told.id), set())
        missing = [row for row in rows if row[ROW] not in noted | given]
        if missing:
            writer = self._writers.get((logger, told.id)) or start(
                logger, told, self._place, self._ledger.results
            )
            self._writers[logger, told.id] = writer
            writer.log(list(points(missing)))
            given.update(
                row[ROW] for row in missing
            )  # what a full disk does not let us note is not given again
        new = [row[ROW] for row in rows if row[ROW] not in noted]
        if new:
            make_folder(path.parent)
            with explained(path), path.open("a", encoding="ascii") as keys:
                keys.write("".join(f"{key}\n" for key in new))
        if not stay and (logger, told.id) in self._writers:
            self._writers.pop((logger, told.id)).close(told.outcome)


def sync_loggers(saved: SavedSweep, results: Path) -> str:
    """Give the loggers beside W&B what they were not given of a sweep; what went wrong in one line, empty if nothing.

    Raises:
        SpecError: one is not installed, or somebody feeds them now.
        LedgerError: the results root cannot be read or written.
    """
    tracking = tracking_of(saved.tracking)
    check_installed(tracking.loggers, "tracking.loggers")
    folder = SweepFolder(results, saved.name).path
    with publishing_alone(folder, PATIENCE, LOGGERS) as alone:
        if not alone:
            raise SpecError("is being logged now", f"sweep {saved.name}", "sync again once that has ended")
        status = StatusWriter(folder, LOGGERS)
        status.keep({run.id for run in saved.runs})
        feed = LoggerFeed(saved, Ledger(results), place_of(folder, tracking), None, status, LOGGERS)
        for run in saved.runs:
            told = feed.told(run)
            if told is not None and told.begun:
                feed.bring(run, told)
        return status.write(ended=True).line


def _end(told: Told) -> list[dict[str, Any]]:
    """The scores and best values of a run that is over, at its last step; also where nothing but its outcome is new."""
    last = max((int(row[STEP]) for row in told.rows if STEP in row), default=0)
    told_of = [told.id, last, dict(told.summary), *([told.outcome] if told.outcome != "finished" else [])]
    return [{**told.summary, STEP: last, ROW: int(digest(told_of, 12), 16)}]


def _read(path: Path) -> set[int]:
    """Keys that were written down; a torn last line is none."""
    try:
        with explained(path):
            text = path.read_text(encoding="ascii", errors="replace")
    except LedgerError:
        if path.exists():
            raise
        return set()
    return {int(line) for line in text.split("\n")[:-1] if line.isdecimal()}
