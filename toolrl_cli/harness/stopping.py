"""Stopping a sweep from another terminal: every harness that works on it, and the attempts that none looks after.

What another sweep is at work on stays, although this one needs it too. Of this machine only processes are reached
that are recorded with their start time; attempts elsewhere through their launcher.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from toolrl_cli.attempt.ending import settle
from toolrl_cli.errors import LaunchError, LedgerError
from toolrl_cli.harness.reach import Reach
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.tree import send
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.liveness import attempt_alive, harness_of
from toolrl_cli.store.roots import command
from toolrl_cli.store.state import StageState
from toolrl_cli.store.sweep_folder import SavedSweep, SweepFolder, saved_names

POLL = 0.2  # seconds between two looks


@dataclass(frozen=True)
class Stopping:
    """What was asked to stop.

    Attributes:
        harnesses: those of the sweep; they stop their attempts and start nothing more.
        asked: stages with an attempt that is to end: by its harness, or by itself where that is gone.
        others: stage id → why its attempt is not this sweep's to stop.
        reach: what the launchers of these attempts say.
        unseen: harnesses on other machines, which cannot be told from here and may start more.
    """

    harnesses: tuple[ProcessId, ...]
    asked: tuple[StageFolder, ...]
    others: Mapping[str, str]
    reach: Reach = field(default_factory=Reach)
    unseen: tuple[ProcessId, ...] = ()

    def kill(self) -> None:
        """End what has not ended by now; the stages count as stopped and can go on.

        Raises:
            LedgerError: the ledger cannot be written.
            LaunchError: a launcher does not answer.
        """
        for harness in self.harnesses:  # told for the second time, it kills
            send(harness, signal.SIGTERM)
        for folder in self.asked:
            state = folder.state()
            if state.active and state.launcher and not self._attended(state):
                self.reach.cancel(state.launcher, kill=True)

    def wait(self, seconds: float) -> list[StageFolder]:
        """Wait for everything asked to end; the stages whose attempts have not.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        deadline = time.monotonic() + seconds
        while (left := self.settle()) and time.monotonic() < deadline:
            time.sleep(POLL)
        return left

    def settle(self) -> list[StageFolder]:
        """Write down the ends that killed attempts could not; the stages whose attempts have not ended.

        Raises:
            LedgerError: the ledger cannot be written.
        """
        for folder in self.asked:
            state = folder.state()
            if (
                state.active
                and not self._attended(state)
                and attempt_alive(folder, state, alive=self.reach.alive) is False
            ):
                settle(folder, state.attempt, asked_to_stop=True, alive=self.reach.alive)
        left = []
        for folder in self.asked:
            state = folder.state()
            if state.active:
                left.append(folder)
            elif self.reach.waits_again(state) and state.launcher:  # it was put back while we waited
                self.reach.cancel(state.launcher)
                left.append(folder)
        return left

    def _attended(self, state: StageState) -> bool:
        """Whether the harness that started the attempt is one of ours and there to see it end."""
        owner = harness_of(state.launcher)
        return owner in self.harnesses and owner is not None and bool(owner.alive())


def stop_sweep(folder: SweepFolder, saved: SavedSweep | None) -> Stopping:
    """Ask a sweep's harnesses to stop, and the attempts that no harness looks after.

    Args:
        folder: the sweep.
        saved: its plan; None where nobody can read it. Then only attempts that its harnesses have started can
            be told from those of other sweeps.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    reach = Reach()
    seen = {harness: harness.alive() for harness in folder.harnesses()}
    harnesses = tuple(harness for harness, alive in seen.items() if alive)
    hidden = tuple(harness for harness, alive in seen.items() if alive is None)
    ledger = Ledger(folder.results)
    stages = [ledger.folder(spec) for spec in saved.stages.values()] if saved else list(ledger.folders())
    # looked at before the harnesses are told: a quick one has ended its attempts by the time of the second look
    asked = [stage for stage in stages if harnesses and _owner_at_work(stage, reach) in harnesses]
    for harness in harnesses:
        send(harness, signal.SIGTERM)
    elsewhere = _at_work_elsewhere(folder, ledger, {stage.id for stage in stages}, reach)
    others: dict[str, str] = {}
    known = {stage.id for stage in asked}
    # readers first: a cluster lets go of what waits for a stage once that has been stopped
    for stage in (stage for stage in reversed(stages) if stage.id not in known):
        try:
            state = stage.state()
            over = not reach.waits_again(state) and (
                not state.active or attempt_alive(stage, state, alive=reach.alive) is False
            )
        except LedgerError as error:  # no reason to let all the others run on
            if saved:
                others[stage.id] = f"it cannot be read: {error.what}"
            continue
        if over:
            continue
        owner = harness_of(state.launcher)
        if owner in harnesses:  # started since the first look
            asked.append(stage)
        elif saved is None:
            continue
        elif stage.id in elsewhere:
            others[stage.id] = f"sweep {elsewhere[stage.id]} needs it too and is running"
        elif owner is not None and owner.alive():
            others[stage.id] = f"{owner} has started it and is not a harness of this sweep"
        elif refused := _stop(state, reach):
            free = command("stop", folder.name, "--take-over", results=folder.results)
            unseen = attempt_alive(stage, state, alive=reach.alive) is None
            others[stage.id] = refused + (f"; if it is gone: `{free}`" if unseen else "")
        else:
            asked.append(stage)
    return Stopping(harnesses, tuple(asked), others, reach, hidden)


def _owner_at_work(stage: StageFolder, reach: Reach) -> ProcessId | None:
    """The harness of a stage's living attempt; None where there is none, or the stage cannot be read."""
    with contextlib.suppress(LedgerError):
        state = stage.state()
        if state.active and attempt_alive(stage, state, alive=reach.alive) is not False:
            return harness_of(state.launcher)
    return None


def _stop(state: StageState, reach: Reach) -> str:
    """Ask the attempt to stop; why it was not, or an empty string."""
    try:
        reached = state.launcher is not None and reach.cancel(state.launcher)
    except LaunchError as error:
        return str(error)
    return "" if reached else "its attempt cannot be reached from here"


def _at_work_elsewhere(
    folder: SweepFolder, ledger: Ledger, own: Collection[str], reach: Reach
) -> dict[str, str]:
    """Stage id → another sweep that needs the stage, and has a living harness or jobs of its own on a cluster."""
    found: dict[str, str] = {}
    for name in saved_names(folder.results):
        other = SweepFolder(folder.results, name)
        if name == folder.name:
            continue
        with contextlib.suppress(LedgerError):  # its torn plan must not keep this sweep from stopping
            stages = other.load().stages
            if other.harnesses() or _on_a_cluster(ledger, stages.keys() - own, reach):
                found |= dict.fromkeys(stages, name)
    return found


def _on_a_cluster(ledger: Ledger, stages: Iterable[str], reach: Reach) -> bool:
    """Whether a cluster has an attempt of one of these, which no harness need follow."""
    for stage_id in stages:
        stage = ledger.find(stage_id)
        with contextlib.suppress(LedgerError):
            state = stage.state() if stage else None
            handle = state.launcher if state and state.active else None
            if handle and reach.answers(handle) and reach.alive(handle):
                return True
    return False
