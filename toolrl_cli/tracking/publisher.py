"""The process that feeds W&B while a sweep runs: `python -m toolrl_cli.tracking.publisher RESULTS SWEEP --mode MODE`.
With the mode `loggers` it feeds those beside W&B that the sweep names.

A harness starts it, holds the other end of its standard input, and never waits for it. It follows the files. When that
end is closed, because the harness has ended or was killed, it goes on while another harness or an attempt is at work on
the sweep, tells what is left, writes down what it could not send, and ends. One a sweep is at work; others wait.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from toolrl_cli.errors import LedgerError, SpecError, ToolrlError, TrackingError
from toolrl_cli.log import LOG, on_stderr
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.liveness import attempt_alive
from toolrl_cli.store.schemas import PLAN
from toolrl_cli.store.sweep_folder import SavedSweep, SweepFolder
from toolrl_cli.tracking.place import LOCK, place_of, publishing_alone, tracking_of
from toolrl_cli.tracking.status import LOGGERS, SILENT, RunStatus, StatusWriter
from toolrl_cli.tracking.told import Told, watched_files

if TYPE_CHECKING:
    from toolrl_cli.tracking.feed import Feed

LOOK = 2.0  # seconds between two looks at the files, at least
SHARE = 20  # a look waits so many times as long as the last one took: on 10,000 stages it would never end
LATEST = 5.0  # seconds between two looks, at most: with the client's own five, a step is there within fifteen
CHECK = 30.0  # seconds between two questions whether what was sent has arrived
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0  # seconds until another try, where W&B cannot be reached
STUCK = 300.0  # seconds in which a round must end
PARALLEL = 8


class Publisher:
    """Follows one sweep; see the module."""

    def __init__(self, results: Path, name: str, mode: str, feed: Feed, status: StatusWriter) -> None:
        self._folder, self._ledger = SweepFolder(results, name), Ledger(results)
        self._mode, self._feed, self._status = mode, feed, status
        self._looked: dict[str, tuple[object, ...]] = {}
        # stage → the last one, and since when it stands
        self._heartbeats: dict[str, tuple[float, float]] = {}
        self._pause, self._again, self._checked = FIRST_PAUSE, 0.0, time.monotonic()
        self._beat = time.monotonic()

    def follow(self, saved: SavedSweep) -> None:
        """Feed W&B until nobody works on the sweep any more, and everything was told or refused."""
        threading.Thread(target=self._watch, daemon=True).start()
        runs = self._runs(saved)
        took, plan = 0.0, _mark(self._folder.path / PLAN.name)
        while self._wait(min(max(LOOK, SHARE * took), LATEST)) or self._others_at_work(saved):
            began = time.process_time()
            if (mark := _mark(self._folder.path / PLAN.name)) != plan:
                plan, saved = mark, self._changed(saved)
                runs = self._runs(saved)
            self._round(runs, last=False)
            took = time.process_time() - began
        for _ in range(2):  # what the server refused for a moment is there after the second
            self._again = 0.0
            if self._round(runs, last=True):
                self._feed.bring_report()
                break
        self._status.write(ended=True)

    def _runs(self, saved: SavedSweep) -> dict[str, PlannedRun]:
        runs = {run.id: run for run in saved.runs}
        self._status.keep({*runs, "report"})
        return runs

    def _changed(self, saved: SavedSweep) -> SavedSweep:
        """The plan that another harness has saved meanwhile; its own publisher waits for this one to end."""
        try:
            new = self._folder.load()
        except (LedgerError, SpecError) as error:
            # torn, or of a later version: what was planned before goes on
            LOG.warning("%s", error)
            return saved
        self._feed.follow(new)
        self._looked.clear()
        place = ("project", "entity", "mode", "loggers")
        if any(saved.tracking.get(name) != new.tracking.get(name) for name in place):
            LOG.warning(
                "where the sweep is told has changed: that takes effect with the next `toolrl sweep` or `sync`"
            )
        return new

    def _wait(self, seconds: float) -> bool:
        """Sleep; whether the harness is still there."""
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        if not ready:
            return True
        if os.read(sys.stdin.fileno(), 1):
            return True
        time.sleep(0 if seconds == 0 else 0.05)
        return False

    def _others_at_work(self, saved: SavedSweep) -> bool:
        with contextlib.suppress(LedgerError, OSError):
            if self._folder.harnesses():
                time.sleep(LOOK)
                return True
            folders = (self._ledger.folder(stage) for stage in saved.stages.values())
            for folder, state in ((f, f.state()) for f in folders):
                alive = attempt_alive(folder, state) if state.active else False
                if alive or (alive is None and self._beats(folder)):
                    time.sleep(LOOK)
                    return True
        return False

    def _beats(self, folder: StageFolder) -> bool:
        """Whether an attempt on another machine is at work: its heartbeat moves, or is not yet known to stand still."""
        lease = folder.lease()
        if lease is None or lease.purpose != "attempt":
            return False  # a job that waits writes nothing
        beat, since = self._heartbeats.get(folder.id, (None, 0.0))
        if beat != lease.heartbeat:
            self._heartbeats[folder.id] = (lease.heartbeat, time.monotonic())
            return True
        return time.monotonic() - since < SILENT

    def _round(self, runs: dict[str, PlannedRun], *, last: bool) -> bool:
        """Bring what has changed up to date; whether nothing went wrong."""
        self._beat = time.monotonic()
        if self._beat < self._again:
            return False
        if self._feed.stale:
            self._feed.renew()
            self._looked.clear()
        due = list(self._due(runs, last=last))
        fine = self._bring(due, last=last)
        now = time.monotonic()
        if fine and self._mode == "online" and not last and now > self._checked + CHECK:
            self._checked = now
            self._feed.check(runs)
        if fine:
            self._pause = FIRST_PAUSE
        else:
            self._again, self._pause = now + self._pause, min(LONGEST_PAUSE, 2 * self._pause)
        self._status.write()
        return fine

    def _due(self, runs: dict[str, PlannedRun], *, last: bool) -> Iterator[tuple[PlannedRun, Told]]:
        for run in runs.values():
            marks = tuple(_mark(path) for path in watched_files(run, self._ledger))
            begun = any(mark is not None for mark in marks)
            if not begun or (marks == self._looked.get(run.id) and not (last and self._unfinished(run))):
                continue
            self._looked[run.id] = marks
            told = self._feed.told(run, live=not last)
            if told is not None and (self._mode != "offline" or told.over or last):
                yield run, told

    def _unfinished(self, run: PlannedRun) -> bool:
        status = self._status[run.id]
        return status is None or not status.complete or run.id in self._feed.open_runs

    def _bring(self, due: list[tuple[PlannedRun, Told]], *, last: bool) -> bool:
        if not due:
            return True
        try:
            asked = [told.id for run, told in due if run.id not in self._feed.open_runs]
            seen = self._feed.seen(asked) if self._mode == "online" and asked else {}
        except TrackingError as error:
            self._feed.stale = True
            for run, told in due:
                self._status.set(run.id, RunStatus(told.id, len(told.rows), 0, "", str(error)))
            return False
        with ThreadPoolExecutor(PARALLEL) as pool:
            done = pool.map(
                lambda one: self._feed.bring(
                    one[0], one[1], seen.get(one[1].id), stay=not (last or one[1].over)
                ),
                due,
            )
            return all(list(done))

    def _watch(self) -> None:
        """End this process where the client hangs: whoever comes next finds out what is missing."""
        while time.monotonic() < self._beat + STUCK:
            time.sleep(1.0)
            if not self._status.beat():
                LOG.error("the publisher of another machine has taken over")
                os._exit(1)
        LOG.error("the W&B client did not answer for %d s", STUCK)
        os._exit(1)


def _mark(path: Path) -> tuple[int, int] | None:
    """What tells a file from what it was."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_size
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Follow the sweep that the arguments name; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m toolrl_cli.tracking.publisher")
    parser.add_argument("results", type=Path)
    parser.add_argument("sweep")
    parser.add_argument("--mode", choices=("online", "offline", LOGGERS), required=True)
    given = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with contextlib.suppress(OSError):
        os.nice(5)  # training comes first
    with on_stderr("toolrl: ", may_fail=True):
        try:
            return _run(given.results.absolute(), given.sweep, given.mode)
        except ToolrlError as error:
            LOG.error("%s", error)
            return 1


def _run(results: Path, name: str, mode: str) -> int:
    folder = SweepFolder(results, name)
    while True:
        with publishing_alone(folder.path, what=LOGGERS if mode == LOGGERS else LOCK) as alone:
            if alone:
                return _follow(results, name, mode)
        if select.select([sys.stdin], [], [], LOOK)[0] and not os.read(sys.stdin.fileno(), 1):
            return 0  # the other one tells what this harness has done


def _follow(results: Path, name: str, mode: str) -> int:
    saved = SweepFolder(results, name).load()
    place = place_of(SweepFolder(results, name).path, tracking_of(saved.tracking))
    status = StatusWriter(SweepFolder(results, name).path, mode)
    status.write()
    if mode == LOGGERS:
        from toolrl_cli.tracking.loggers.feed import LoggerFeed

        beside = LoggerFeed(saved, Ledger(results), place, None, status, mode)
        Publisher(results, name, mode, beside, status).follow(saved)
        beside.close()
        return 0
    from toolrl_cli.tracking.client import Client
    from toolrl_cli.tracking.feed import Feed

    client = Client(place, "online" if mode == "online" else "offline", results)
    try:
        feed = Feed(saved, Ledger(results), place, client, status, mode)
        Publisher(results, name, mode, feed, status).follow(saved)
    finally:
        client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
