"""Brings W&B runs up to date with the files.

It holds no truth of its own: what a W&B run lacks is found by asking the server which rows it has. So it may be killed
at any point, and whoever comes next goes on.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from toolrl_cli.errors import LedgerError, TrackingError
from toolrl_cli.log import LOG
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SavedSweep
from toolrl_cli.tracking.extras import REPORT, attach, report_told
from toolrl_cli.tracking.place import Place, tracking_of
from toolrl_cli.tracking.status import RunStatus, StatusWriter
from toolrl_cli.tracking.told import ROW, TOLD, Told, marks_of, tell

if TYPE_CHECKING:
    from toolrl_cli.tracking.client import Client, Live, Seen

STILL = 2.0  # seconds without a change after which nothing more is written
OVERDUE = 30.0  # seconds after which a row that was given to the client should be at the server
AGAIN = "steps were trained again after a resume; `toolrl sync --rebuild RUN` makes a W&B run without the first tries"


@dataclass
class _Open:
    """An open W&B run: the rows that the server has or was given, and how many lines that makes when."""

    live: Live
    there: set[int]
    lines: int
    summary: Mapping[str, object] = field(default_factory=dict)
    given: deque[tuple[float, int]] = field(default_factory=deque)

    def due(self, now: float) -> int:
        """Lines that the server should have by now."""
        lines = 0
        while self.given and self.given[0][0] < now - OVERDUE:
            lines = self.given.popleft()[1]
        return lines


class Feed:
    """Feeds W&B with a sweep's runs.

    Args:
        saved: the sweep.
        ledger: where its stages are.
        place: where it is in W&B.
        client: talks to W&B.
        status: where it is written down how each run stands.
        mode: online or offline.
    """

    def __init__(
        self, saved: SavedSweep, ledger: Ledger, place: Place, client: Client, status: StatusWriter, mode: str
    ) -> None:
        self._saved, self._ledger, self._place, self._client = saved, ledger, place, client
        self._status, self._mode = status, mode
        self._tracking = tracking_of(saved.tracking)
        self._open: dict[str, _Open] = {}
        self.stale = False
        """A run failed; the client has to be reset before it is tried again."""

    def wandb_id(self, run: PlannedRun) -> str:
        """The id of a run's W&B run."""
        return self._place.wandb_id(run)

    def begun(self, run: PlannedRun) -> bool:
        """Whether there may be something to tell of a run."""
        return any(self._ledger.folder(stage).path.exists() for stage in run.stages)

    def follow(self, saved: SavedSweep) -> None:
        """Go on with another plan of the sweep; where it is in W&B stays as it was."""
        self._saved = saved
        self._tracking = tracking_of(saved.tracking)

    def told(self, run: PlannedRun, *, live: bool = True) -> Told | None:
        """What W&B is told of a run; None, and written down why, where a file of it cannot be read."""
        wandb_id = self._place.wandb_id(run)
        try:
            return tell(run, wandb_id, self._ledger, self._tracking, self._saved.description, live=live)
        except LedgerError as error:
            known = self._status[run.id] or RunStatus(wandb_id)
            self._status.set(run.id, RunStatus(wandb_id, known.rows, known.sent, "", str(error)))
            return None

    def unchanged(self, run: PlannedRun, known: RunStatus | None) -> bool:
        """Whether a run is as it was when it was written down that all of it is there, or kept; nothing is read."""
        if known is None or not (known.complete and known.marks) or known.id != self.wandb_id(run):
            return False
        with suppress(LedgerError):  # told when it is read
            now = marks_of(run, self._ledger, self._tracking, self._saved.description)
            return known.marks == now
        return False

    def note(self, run: PlannedRun, status: RunStatus) -> None:
        """Write down how a run stands that nothing was done about."""
        self._status.set(run.id, status)

    def seen(self, ids: Sequence[str]) -> dict[str, Seen]:
        """What the server has of W&B runs.

        Raises:
            TrackingError: it does not say.
        """
        return self._client.seen(ids)

    def bring(self, run: PlannedRun, told: Told, seen: Seen | None = None, *, stay: bool = False) -> bool:
        """Bring one run up to date, and write down how it stands.

        Args:
            run: the run.
            told: what W&B is to have of it.
            seen: what the server has, where that was asked a moment ago.
            stay: leave it open, because more is coming.

        Returns:
            Whether nothing went wrong; all of it may be on its way still where the run stays open.
        """
        try:
            if self._mode == "offline":
                self._keep(run, told)
            else:
                self._send(run, told, seen, stay=stay)
            return True
        except (TrackingError, LedgerError) as error:
            self.stale = True
            self._open.pop(run.id, None)
            known = self._status[run.id] or RunStatus(told.id)
            sent = known.sent if known.id == told.id else 0
            self._status.set(run.id, RunStatus(told.id, len(told.rows), sent, "", str(error)))
            return False

    def bring_report(self) -> bool:
        """Send the sweep's report, where it is not there as it is now; whether nothing went wrong."""
        if self._mode == "offline":
            return True  # an artifact's content would not be in the offline folder
        try:
            found = report_told(self._saved, self._ledger.results, self._place, self._tracking)
        except LedgerError as error:
            self._status.set(REPORT, RunStatus(REPORT, fault=str(error)))
            return False
        return found is None or self.bring(*found)

    def send_folders(self, wandb_ids: Sequence[str]) -> list[str]:
        """Let the client send the offline folders of runs that the server does not know, many at a time.

        What that has left out, `bring` sends.

        Returns:
            The ids of those that have a folder.
        """
        place = self._ledger.results / "wandb"
        found = {wandb_id: list(place.glob(f"offline-run-*-{wandb_id}")) for wandb_id in wandb_ids}
        single = {wandb_id: folders[0] for wandb_id, folders in found.items() if len(folders) == 1}
        if single:
            try:
                self._client.send_folders(list(single.values()))
            except TrackingError as error:  # what it has not sent is sent run by run, or refused there
                LOG.info("%s", error)
                self._client.reset()
        return list(single)

    def renew(self) -> None:
        """After a failure: close everything; what was on its way is looked for when its run is opened again."""
        self._client.reset()
        self._open.clear()
        self.stale = False

    @property
    def open_runs(self) -> tuple[str, ...]:
        """The runs that are open, longest first."""
        return tuple(self._open)

    def check(self, runs: Mapping[str, PlannedRun]) -> None:
        """Ask the server whether it has what open runs were given; a run that lost rows is opened again."""
        ids = {run: self._place.wandb_id(runs[run]) for run in self._open if run in runs}
        try:
            seen = self._client.seen(list(ids.values()))
        except TrackingError as error:
            seen, self.stale = {}, True
            fault = str(error)
        else:
            fault = "rows that were sent did not arrive; they are sent again"
        now = time.monotonic()
        for run, wandb_id in ids.items():
            known, found = self._status[run], seen.get(wandb_id)
            if known is None:
                continue
            lines = found.lines if found else 0
            if lines < self._open[run].due(now):
                self.stale = True
                self._status.set(run, RunStatus(wandb_id, known.rows, known.sent, "", fault))
            elif found:
                sent = min(known.rows, max(known.sent, lines))
                self._status.set(run, RunStatus(wandb_id, known.rows, sent, "", ""))

    def _send(self, run: PlannedRun, told: Told, seen: Seen | None, *, stay: bool) -> None:
        opened = self._open.get(run.id)
        if opened is None:
            if seen is None:
                seen = self._client.seen([told.id]).get(told.id)
            if seen and has_all(seen, told) and not stay:
                self._complete(run, told)
                return
            there = set(self._client.row_keys(told.id)) if seen and seen.lines else set()
            opened = _Open(self._client.open(told), there, seen.lines if seen else 0)
            self._status.urls[run.id] = opened.live.url
            self._open[run.id] = opened
        missing = [row for row in told.rows if row[ROW] not in opened.there]
        opened.live.log(missing)
        opened.there.update(row[ROW] for row in missing)
        opened.lines += len(missing)
        opened.given.append((time.monotonic(), opened.lines))
        again = {"trained_again": AGAIN} if opened.there - set(told.keys) else {}
        if opened.summary != (summary := {**told.summary, **again}):
            opened.live.summarize(summary)
            opened.summary = summary
        known = self._status[run.id]
        sent = known.sent if known and known.id == told.id else 0
        self._status.set(run.id, RunStatus(told.id, len(told.rows), min(sent, len(told.rows))))
        if not stay:
            attach(opened.live, self._tracking, run, self._ledger)
            opened.live.summarize({TOLD: told.digest})
            opened.live.finish(told.outcome)
            del self._open[run.id]
            self._verify(run, told)

    def _verify(self, run: PlannedRun, told: Told) -> None:
        """Ask the server what it has; only that counts as sent."""
        seen = self._client.seen([told.id]).get(told.id)
        if seen and has_all(seen, told):
            self._complete(run, told)
            return
        there = set(self._client.row_keys(told.id)) if seen and seen.lines else set()
        sent = len(there & set(told.keys))
        if sent == len(told.rows) and seen and seen.summary.get(TOLD) == told.digest:
            self._complete(run, told)
            return
        lost = f"{len(told.rows) - sent} of {len(told.rows)} rows" if sent < len(told.rows) else "the summary"
        raise TrackingError(f"the server has taken what it was sent, and does not have {lost}")

    def _complete(self, run: PlannedRun, told: Told) -> None:
        rows = len(told.rows)
        self._status.set(run.id, RunStatus(told.id, rows, rows, told.content, marks=told.marks))

    def _keep(self, run: PlannedRun, told: Told) -> None:
        """Write the offline folder, one for each run, where the one there does not have all."""
        place = self._ledger.results / "wandb"
        there = sorted(place.glob(f"offline-run-*-{told.id}"))
        known = self._status[run.id]
        same = known is not None and known.complete and (known.id, known.content) == (told.id, told.content)
        if same and len(there) == 1 and _whole(place, told):
            return
        for folder in there:  # a sent one too: what the server has is asked, and one folder holds all
            shutil.rmtree(folder, ignore_errors=True)
        live = self._client.open(told)
        live.log(told.rows)
        whole = attach(live, self._tracking, run, self._ledger, offline=True)
        # `sync` sends what is left
        live.summarize({**told.summary, **({TOLD: told.digest} if whole else {})})
        live.finish(told.outcome)
        if not _soon_whole(place, told):
            raise TrackingError(
                "the offline run is not whole", str(place), "free some space; `toolrl sync` tries again"
            )
        self._complete(run, told)


def has_all(seen: Seen, told: Told) -> bool:
    """Whether the server has all of a run, by its number of lines, its last row and the digest of all that is told."""
    return (
        seen.lines >= len(told.rows)
        and seen.summary.get(TOLD) == told.digest
        and (not told.rows or seen.summary.get(ROW) in told.keys)
    )


def has_content(seen: Seen, known: RunStatus) -> bool:
    """The same of a run that was told before, by what was written down of it then."""
    told, rows, last = known.content.split("-")
    there = seen.lines >= int(rows) and seen.summary.get(TOLD) == told
    return there and (not last or seen.summary.get(ROW) == int(last))


def _offline_files(place: Path, told: Told) -> list[Path]:
    return list(place.glob(f"offline-run-*-{told.id}/run-{told.id}.wandb"))


def _whole(place: Path, told: Told) -> bool:
    """Whether the offline run has all rows and an end: on a full disk the client drops them without a word."""
    from toolrl_cli.tracking.offline import kept_rows  # the client is not for those who only log elsewhere

    files = _offline_files(place, told)
    return len(files) == 1 and kept_rows(files[0]) >= len(told.rows)


def _soon_whole(place: Path, told: Told) -> bool:
    """The same of a run that was finished just now: with several at a time the client still writes when it says so."""
    size, changed = -1, time.monotonic()
    while not (whole := _whole(place, told)) and time.monotonic() < changed + STILL:
        time.sleep(0.05)
        now = sum(path.stat().st_size for path in _offline_files(place, told))
        if now != size:
            size, changed = now, time.monotonic()
    return whole
