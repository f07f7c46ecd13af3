"""The thread beside a running attempt: heartbeat, progress, warnings, the record of its processes, and the two verdicts
that nobody else can give: no step for too long, and no finite loss."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.attempt.divergence import MUST_BE_FINITE, diverged, not_finite
from toolrl_cli.attempt.leftovers import ProcessRecord
from toolrl_cli.errors import LedgerError
from toolrl_cli.log import LOG
from toolrl_cli.processes.tree import descendants, kill
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.lease import Lease
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.progress.metrics import FILE as METRICS_FILE
from toolrl_cli.store.progress.metrics import MetricsFollower
from toolrl_cli.store.progress.pace import PACE_FILE, PaceRecord
from toolrl_cli.store.progress.step_warnings import StepWarning
from toolrl_cli.store.state import Progress, StageState

if TYPE_CHECKING:
    from toolrl_cli.attempt.warning_signs import WarningSigns

START_UP = 1800.0  # seconds without a step that every attempt has for loading models and a first validation
LATE = 10.0  # seconds by which a round may come late and still count in full
GRACE = 15.0  # seconds for the stage's function to notice that its processes have been killed
LEASE_LOST = 75


class StateWriter:
    """The attempt's state, changed from two threads and written after every change."""

    def __init__(self, folder: StageFolder, lease: Lease, state: StageState) -> None:
        self._folder = folder
        self._lease = lease
        self._lock = threading.Lock()
        self.state = state

    def change(self, how: Callable[[StageState], StageState]) -> StageState:
        """Apply `how` and write the result, unless the attempt is over.

        Raises:
            LedgerError: the lease is lost, or the file system refuses.
        """
        with self._lock:
            changed = how(self.state)
            if changed != self.state and self.state.status in ("queued", "running"):
                self._folder.write_state(changed, self._lease)
                self.state = changed
            return self.state


class Monitor(threading.Thread):
    """Runs until `finish`.

    Args:
        spec: the stage.
        attempt_dir: `attempts/<n>`.
        lease, writer, record: what it keeps current.
        interval: seconds between two rounds.
        hang_after: seconds without a new step after which the attempt's processes are killed, or None; before
            an attempt's first step never less than `START_UP`.
        abandon: ends the attempt with a failure when its function does not come back from that.
        also: done in every round.

    Attributes:
        verdict: why it killed the attempt's processes, or None.
    """

    def __init__(
        self,
        spec: StageSpec,
        attempt_dir: Path,
        lease: Lease,
        writer: StateWriter,
        record: ProcessRecord,
        *,
        interval: float,
        hang_after: float | None,
        abandon: Callable[[Failure], None],
        also: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name="toolrl-monitor", daemon=True)
        self.verdict: Failure | None = None
        self._spec = spec
        self._metrics = attempt_dir / METRICS_FILE
        self._follower = MetricsFollower(attempt_dir)
        self._signs: WarningSigns | None = None
        self._stage_dir = attempt_dir.parent.parent
        self._lease = lease
        self._writer = writer
        self._record = record
        self._interval = interval
        self._hang_after = hang_after
        self._abandon = abandon
        self._also = also
        self._finished = threading.Event()
        self._looked = time.monotonic()
        self._silent, self._stepped = 0.0, False
        self._pace = PaceRecord(attempt_dir / PACE_FILE, self._looked)
        self._complained = False

    def finish(self) -> None:
        """End the thread after a last look at the metrics."""
        self._finished.set()
        if self.is_alive():
            self.join()
        self._tolerate_full_disk(self._follow)
        self._tolerate_full_disk(self._pace.write)

    def run(self) -> None:
        """One round after another; the first at once."""
        while not self._finished.is_set():
            self._tolerate_full_disk(self._round)
            self._finished.wait(self._interval)

    def _round(self) -> None:
        if not self._lease.beat():
            # somebody had reason to think this process dead and has taken over: two must not write
            LOG.error("another process has taken this stage over; ending")
            kill(descendants(os.getpid()))
            os._exit(LEASE_LOST)
        self._record.update()
        self._also()
        now = time.monotonic()
        # while the job is suspended (a lid closed, `scontrol suspend`) nobody can make a step, nor look for one
        self._silent += min(now - self._looked, self._interval + LATE)
        self._looked = now
        self._follow()
        if self.verdict is not None or self._hang_after is None:
            return
        if self._silent > (self._hang_after if self._stepped else max(self._hang_after, START_UP)):
            self._end(Failure.of("hang", f"no training step for {self._silent:.0f} seconds"))

    def _follow(self) -> None:
        rows = self._follower.new()
        if not rows:
            return
        self._silent, self._stepped = 0.0, True
        row = rows[-1]
        self._pace.seen(row["step"], time.monotonic())
        shown = {
            name: float(value)
            for name in (self._spec.progress_metric,)
            if name is not None
            and isinstance(value := row["data"].get(name), (int, float))
            and math.isfinite(value)
        }
        before = self._writer.state.progress
        metrics = shown or (before.metrics if before else {})
        progress = Progress(row["step"], self._spec.total_steps, metrics)
        warnings = self._warnings(rows)
        self._writer.change(lambda state: replace(state, progress=progress, warnings=warnings))
        if self.verdict is None and any(not_finite(row["data"], key) for key in MUST_BE_FINITE):
            lost = diverged(self._metrics)
            if lost is not None:
                self._end(lost)

    def _warnings(self, rows: list[dict[str, Any]]) -> tuple[StepWarning, ...]:
        if self._signs is None:
            # only a training needs them, and the configuration's classes with them
            from toolrl_cli.attempt.warning_signs import WarningSigns

            self._signs = WarningSigns(self._spec, self._stage_dir)
        return self._signs.after(rows)

    def _end(self, verdict: Failure) -> None:
        """Kill the attempt's processes; its function then sees them die and returns."""
        self.verdict = verdict
        LOG.error("%s; ending the attempt", verdict.message)
        kill(descendants(os.getpid()), grace=1.0)
        if not self._finished.is_set():
            threading.Thread(target=self._give_up, args=(verdict,), daemon=True).start()

    def _give_up(self, verdict: Failure) -> None:
        if not self._finished.wait(GRACE):
            self._abandon(verdict)

    def _tolerate_full_disk(self, work: Callable[[], None]) -> None:
        """A round that could not be written is made up for by the next; training may well go on."""
        try:
            work()
        except LedgerError as error:
            if not self._complained:
                LOG.error("%s", error)
            self._complained = True
