"""Start an attempt, if nobody runs one: the one place where a harness decides that a stage is its to run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from toolrl_cli.attempt.adjusting import next_adjust
from toolrl_cli.attempt.beginning import cleared, new_attempt
from toolrl_cli.attempt.ending import record_end
from toolrl_cli.errors import LaunchError
from toolrl_cli.harness.launcher import Launcher, LaunchLater, LaunchRequest, TakesMany
from toolrl_cli.harness.reach import Reach
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.store import lease as leases
from toolrl_cli.store.files import make_folder, write_json
from toolrl_cli.store.lease import Lease, LeaseHeld, LeaseInfo
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


@dataclass(frozen=True)
class Wanted:
    """A stage whose next attempt is to be started.

    Attributes:
        folder, spec: the stage.
        slots: names of the launcher's slots that are the attempt's.
        after: handles of attempts that have to succeed before; only for a launcher that `chains`.
    """

    folder: StageFolder
    spec: StageSpec
    slots: tuple[str, ...] = ()
    after: tuple[Handle, ...] = ()


TOGETHER = 200
"""Most stages that are started together, each of which is held until its attempt is written down."""


def start_attempt(
    folder: StageFolder,
    spec: StageSpec,
    launcher: Launcher,
    slots: tuple[str, ...],
    options: AttemptOptions = AttemptOptions(),
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
    (answer,) = start_attempts([Wanted(folder, spec, slots)], launcher, options)
    if isinstance(answer, LaunchLater):
        raise answer
    return answer


def start_attempts(
    wanted: Sequence[Wanted],
    launcher: Launcher,
    options: AttemptOptions = AttemptOptions(),
    *,
    reach: Reach | None = None,
) -> list[Started | Done | Busy | LaunchLater]:
    """The same for several stages, which a launcher may take with few questions (`TakesMany`).

    Args:
        wanted: at most `TOGETHER`.
        launcher, options: as for one.
        reach: sees earlier attempts, whoever submitted them; None: one is made.

    Raises:
        LedgerError: the ledger cannot be read or written.
        LaunchError: the launcher cannot start one; those that it could are written down.
    """
    reach = reach or Reach(launcher)
    with ExitStack() as leases_held:
        found: list[Done | Busy | _Due] = []
        for stage in wanted:
            due = _due(stage, launcher, options, reach)
            if isinstance(due, _Due):
                leases_held.enter_context(due.lease)
            found.append(due)
        dues = {due.request.id: due for due in found if isinstance(due, _Due)}
        submitted: dict[str, Started | LaunchError] = {}
        for request, handle in _submit([due.request for due in dues.values()], launcher):
            submitted[request.id] = dues[request.id].submitted(handle)
    answers: list[Started | Done | Busy | LaunchLater] = []
    for due in found:
        answer = submitted[due.request.id] if isinstance(due, _Due) else due
        if isinstance(answer, LaunchError) and not isinstance(answer, LaunchLater):
            raise answer
        answers.append(answer)
    return answers


@dataclass(frozen=True)
class _Due:
    """An attempt that is to be submitted.

    Attributes:
        folder: of its stage.
        lease: of the stage, held.
        state: of the stage until it is submitted.
        request: what is submitted.
        adjust: settings of this attempt.
    """

    folder: StageFolder
    lease: Lease
    state: StageState
    request: LaunchRequest
    adjust: Adjust

    def submitted(self, answer: Handle | LaunchError) -> Started | LaunchError:
        """Write down that it was, and give the lease back."""
        if isinstance(answer, LaunchError):
            return answer
        state = self.state.begun(self.request.attempt, answer, self.adjust)
        self.folder.write_state(state, self.lease)
        self.lease.release()
        return Started(state)


def _submit(
    requests: list[LaunchRequest], launcher: Launcher
) -> Iterator[tuple[LaunchRequest, Handle | LaunchError]]:
    """Each as soon as it is submitted: until it is written down, its attempt waits."""
    if isinstance(launcher, TakesMany) and len(requests) > 1:
        yield from launcher.submit_many(requests)
        return
    for request in requests:
        try:
            handle = launcher.submit(request)
        except LaunchError as error:
            yield request, error
        else:
            yield request, handle


def _due(wanted: Wanted, launcher: Launcher, options: AttemptOptions, reach: Reach) -> Done | Busy | _Due:
    """The attempt to submit, with its stage's lease, unless the stage is done or under way."""
    folder, spec = wanted.folder, wanted.spec
    make_folder(folder.path)
    try:
        lease = leases.take(folder.path, purpose="launch", alive=lease_alive(reach.alive))
    except LeaseHeld as held:
        return Busy(folder.state(), held.info, held.alive)
    with ExitStack() as undo:
        undo.enter_context(lease)
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
            slots=wanted.slots,
            harness=ProcessId.current(),
            function=options.functions.get(spec.kind),
            hang_after=_hang_after(spec, options),
            heartbeat=options.heartbeat,
            again=again is not None,
            after=wanted.after,
            alone=options.alone,
        )
        adjust = next_adjust(spec, state)
        _write_command(request, launcher.kind, adjust)
        undo.pop_all()  # the lease is the caller's now
    return _Due(folder, lease, state, request, adjust)


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
