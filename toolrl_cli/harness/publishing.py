"""Keeps Weights & Biases up to date while a sweep runs, from a thread of its own: training never waits for it."""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path

from toolrl_cli.errors import LedgerError, TrackingError
from toolrl_cli.harness.events import Event
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.store.files import explained
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.tracking.wandb_runs import Mode, TrackedRun, publish
from toolrl_cli.training.checkpointing.checkpoints import saved_steps

REFRESH = 60.0
"""Seconds between two updates of a run that trains, where W&B is online; offline it is written once, at its end."""


class Publisher:
    """Publishes each run when its last stage has ended, and online ones now and then before.

    Args:
        runs: the sweep's runs.
        results: the results root.
        mode: see `tracking.wandb_runs`.

    Attributes:
        faults: run → why it is not in W&B.
        replaced: run → that it goes on as another W&B run, and why.
    """

    def __init__(self, runs: tuple[PlannedRun, ...], results: Path, mode: Mode) -> None:
        self._ledger = Ledger(results)
        self._results = results
        self._mode = mode
        self._runs = {run.id: run for run in runs}
        self._users: dict[str, list[str]] = {}
        for run in runs:
            for stage in run.stages:
                self._users.setdefault(stage.id, []).append(run.id)
        self._refreshed: dict[str, float] = {}
        self._work: queue.Queue[str | None] = queue.Queue()
        self.faults: dict[str, TrackingError | LedgerError] = {}
        self.replaced: dict[str, str] = {}
        self._thread = threading.Thread(target=self._publish_all, name="wandb", daemon=True)
        if mode != "disabled":
            self._thread.start()

    def notice(self, event: Event) -> None:
        """Take note of what the scheduler tells; quick."""
        if self._mode == "disabled":
            return
        for run_id in self._users.get(event.stage, ()):
            last = self._runs[run_id].stages[-1].id
            due = time.monotonic() - self._refreshed.get(run_id, 0.0) > REFRESH
            if event.what == "succeeded" and event.stage == last:
                self._work.put(run_id)
            elif event.what == "progress" and self._mode == "online" and due:
                self._refreshed[run_id] = time.monotonic()
                self._work.put(run_id)

    def close(self) -> None:
        """Publish what is still to be told (runs that failed half way, too) and wait until it is."""
        if self._mode == "disabled":
            return
        for run_id, run in self._runs.items():
            if any(self._ledger.folder(s).state().attempt for s in run.stages):
                self._work.put(run_id)
        self._work.put(None)
        self._thread.join()

    def _publish_all(self) -> None:
        while (run_id := self._work.get()) is not None:
            try:
                done = publish(tracked(self._runs[run_id], self._ledger), self._results, self._mode)
                if done.replaces:
                    self.replaced[run_id] = str(done)
            except (TrackingError, LedgerError) as error:
                self.faults[run_id] = error  # told at the end: a run is not worth less because W&B is away


def tracked(run: PlannedRun, ledger: Ledger) -> TrackedRun:
    """A saved run as the tracking room takes it."""
    return TrackedRun(
        sweep=run.sweep,
        id=run.id,
        arm=run.arm,
        seed=run.seed,
        folder=ledger.results / "sweeps" / run.sweep / "runs" / run.id,
        stages=[(stage, ledger.folder(stage).path) for stage in run.stages],
        config={"settings": dict(run.settings), **{s.kind: dict(s.config) for s in run.stages}},
        settled={s.id: step for s in run.stages if (step := _settled(s, ledger)) is not None},
    )


def _settled(stage: StageSpec, ledger: Ledger) -> int | None:
    """The newest checkpoint's step of a training that will go on from there; None where all that was logged stays."""
    if not trains(stage.kind):
        return None
    folder = ledger.folder(stage)
    if folder.state().status in ("succeeded", "failed"):
        return None
    with explained(folder.path):
        return max((step for step, _ in saved_steps(folder.path / "checkpoints")), default=0)
