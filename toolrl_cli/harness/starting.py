"""Start an attempt, if nobody runs one: the one place where a harness decides that a stage is its to run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from toolrl_cli.attempt.adjusting import next_adjust
from toolrl_cli.attempt.beginning import cleared, new_attempt
from toolrl_cli.attempt.ending import record_end
from toolrl_cli.harness.launcher import Launcher, LaunchRequest
from toolrl_cli.harness.reach import Reach
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.store import lease as leases
from toolrl_cli.store.files import make_folder, write_json
from toolrl_cli.store.lease import LeaseHeld, LeaseInfo
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.liveness import lease_alive
from toolrl_cli.store.schemas import COMMAND
from toolrl_cli.store.state import Adjust, Handle, StageState


@dataclass(frozen=True)
class Started:
    """An attempt was started."""

    state: StageState


@dataclass(frozen=True)
class Done:
    """The stage has succeeded meanwhile."""

    state: StageState


@dataclass(frozen=True)
class Busy:
    """Another process runs the stage, starts an attempt of it, or may do so.

    Attributes:
        state: the state as written.
        lease: who holds it, if anybody does.
        alive: True when that is known, None when it cannot be known from here.
    """

    state: StageState
    lease: LeaseInfo | None
    alive: bool | None


@dataclass(frozen=True)
class AttemptOptions:
    """What every attempt of one command is given.

    Attributes:
        functions: stage kind → `module:name` to run instead of the kind's own function.
        hang_after: see `Policy.hang_after`; a stage's own `resources.hang_minutes` goes before it.
        heartbeat: seconds between two heartbeats; progress is written at most as often.
        alone: no harness will look after them.
    """

    functions: Mapping[str, str] = field(default_factory=dict)
    hang_after: float | None = None
    heartbeat: float = 2.0
    alone: bool = False


def start_attempt(
    folder: StageFolder,
    spec: StageSpec,
    launcher: Launcher,
    slots: tuple[str, ...],
    options: AttemptOptions = AttemptOptions(),
    *,
    reach: Reach | None = None,
    after: tuple[Handle, ...] = (),
) -> Started | Done | Busy:
    """Start the next attempt of a stage unless it is done or under way.

    The lease is held while this decides, so of two harnesses one starts the attempt and the other finds it.
    The state that names the attempt is written after its process was started: should this process die in
    between, the attempt finds itself unnamed and ends, and the next harness starts another one. A launcher with a
    queue is asked for the same attempt again instead, and so it is after `LaunchLater`.

    Raises:
        LedgerError: the ledger cannot be read or written.
        LaunchLater: the launcher cannot take it now.
        LaunchError: the launcher cannot start it.
    """
    make_folder(folder.path)
    reach = reach or Reach(launcher)
    try:
        lease = leases.take(folder.path, purpose="launch", alive=lease_alive(reach.alive))
    except LeaseHeld as held:
        return Busy(folder.state(), held.info, held.alive)
    with lease:
        folder.write_spec(spec)
        state = folder.state()
        if state.status == "succeeded":
            return Done(state)
        if state.active:
            alive = reach.alive(state.launcher) if state.launcher else False
            if alive is not False:
                return Busy(state, None, alive)
            state = record_end(folder, lease, state)
        elif options.alone and reach.waits_again(state):
            return Busy(state, None, True)
        state = cleared(folder, lease, state)
        again = None if launcher.pool else _submitted(folder, state, launcher.kind)
        request = LaunchRequest(
            stage_dir=folder.path,
            spec=spec,
            attempt=again or new_attempt(folder, state),
            slots=slots,
            harness=ProcessId.current(),
            function=options.functions.get(spec.kind),
            hang_after=_hang_after(spec, options),
            heartbeat=options.heartbeat,
            again=again is not None,
            after=after,
            alone=options.alone,
        )
        adjust = next_adjust(spec, state)
        _write_command(request, launcher.kind, adjust)
        state = state.begun(request.attempt, launcher.submit(request), adjust)
        folder.write_state(state, lease)
        return Started(state)


def _submitted(folder: StageFolder, state: StageState, kind: str) -> int | None:
    """Number of an attempt that may have been submitted to this launcher and was not written down; None for none."""
    newest = max((int(attempt.name) for attempt in folder.attempts()), default=0)
    if newest <= state.attempt:
        return None
    command = COMMAND.load(folder.attempt(newest) / COMMAND.name)
    return newest if command and command.get("launcher") == kind else None


def _hang_after(spec: StageSpec, options: AttemptOptions) -> float | None:
    """Seconds without a step after which the attempt gives up; None for stages without steps, or never."""
    if not trains(spec.kind):
        return None
    minutes = spec.resources.get("hang_minutes")
    return options.hang_after if minutes is None else 60.0 * float(minutes)


def _write_command(request: LaunchRequest, launcher: str, adjust: Adjust) -> None:
    data = {
        "argv": request.argv(),
        "cwd": str(Path.cwd()),
        "launcher": launcher,
        "slots": list(request.slots),
        "function": request.function,
        "adjust": adjust,
        "harness": request.harness.to_json(),
        "user": os.environ.get("USER", ""),
    }
    write_json(request.attempt_dir / COMMAND.name, COMMAND.stamped(data), durable=False)
