"""One execution of a stage: `python -m toolrl_cli.attempt.execution STAGE_DIR [--attempt N]`.

The attempt holds the stage's lease while it lives and is the only one that writes in its directory. It owes
its existence to no harness: it goes on when the harness dies, and a later harness finds it through the ledger.

Exit status: 0 the stage has succeeded; 1 it failed; 3 it was stopped and can go on; 74 the results folder
cannot be read or written; 75 the stage is not this process's to run (another one has it, or a later attempt).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NoReturn, cast

from toolrl_cli.attempt.adjusting import adjusted, next_adjust, told, with_memory_hint
from toolrl_cli.attempt.beginning import cleared, new_attempt
from toolrl_cli.attempt.ending import record_end
from toolrl_cli.attempt.leftovers import ProcessRecord
from toolrl_cli.attempt.monitor import LEASE_LOST, Monitor, StateWriter
from toolrl_cli.attempt.sampling import Sampler
from toolrl_cli.errors import LedgerError, StageError, ToolrlError
from toolrl_cli.log import LOG, on_stderr
from toolrl_cli.processes.child import ChildStopped
from toolrl_cli.processes.kernel import adopt_orphans
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.slot_locks import HeldSlots
from toolrl_cli.processes.tree import MARK_VARIABLE
from toolrl_cli.spec.stage import StageContext, StageSpec
from toolrl_cli.spec.stage_kind import kind_of
from toolrl_cli.store import lease as leases
from toolrl_cli.store.failures import LEDGER_UNWRITABLE, Failure
from toolrl_cli.store.files import explained, make_durable, write_json
from toolrl_cli.store.lease import Lease, LeaseHeld, LeaseInfo, owner_alive
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.outputs import OUTPUT, recorded, what_is_gone
from toolrl_cli.store.schemas import ENVIRONMENT
from toolrl_cli.store.state import Handle, StageState

SUCCEEDED, FAILED, STOPPED, LEDGER_FAILED, NOT_MINE = 0, 1, 3, LEDGER_UNWRITABLE, LEASE_LOST

#: Seconds that a harness may take to start an attempt, with those that it starts together, and to write it down.
_LAUNCH_PATIENCE = 600.0


class NotMine(Exception):
    """The stage is not this process's to run."""


def main(argv: Sequence[str] | None = None, *, again: Handle | None = None) -> int:
    """Run the attempt that the arguments name; its exit status.

    Args:
        argv: the arguments; None for those of this program.
        again: the launcher's handle, where its cluster has started the same job anew by itself: the attempt goes on
            under the next number, and whoever held the stage under this handle is dead.
    """
    parser = argparse.ArgumentParser(
        prog="python -m toolrl_cli.attempt.execution", description="Run one stage once."
    )
    parser.add_argument("stage_dir", type=Path, help="RESULTS/stages/<kind>/<id>")
    parser.add_argument("--attempt", type=int, help="number that the harness gave it (default: the next)")
    parser.add_argument("--function", help="module:name to run instead of the kind's own")
    parser.add_argument("--hang-after", type=float, help="seconds without a training step before it gives up")
    parser.add_argument("--heartbeat", type=float, default=2.0, help="seconds between heartbeats")
    parser.add_argument("--locks", default="", help=argparse.SUPPRESS)  # open files that hold its slots
    options = parser.parse_args(argv)
    with on_stderr("toolrl: ", may_fail=True):  # a full disk must not end an attempt for a line
        return _run(options, again)


def _run(options: argparse.Namespace, again: Handle | None = None) -> int:
    folder = StageFolder(options.stage_dir.absolute())
    slots = HeldSlots(int(descriptor) for descriptor in options.locks.split(",") if descriptor)
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    try:
        spec = folder.spec()
        attempt = None if again else options.attempt
        lease = _take_lease(folder, attempt, again)
        with lease:
            state = _claim(folder, lease, spec, attempt, again)
            if state.status == "succeeded":
                return SUCCEEDED
            function = options.function or kind_of(spec).function
            return Attempt(folder, spec, lease, state, function, stop, slots).run(
                heartbeat=options.heartbeat, hang_after=options.hang_after
            )
    except NotMine as reason:
        LOG.info("stage %s: %s; nothing to do here", folder.id, reason)
        return NOT_MINE
    except LedgerError as error:
        LOG.error("%s", error)
        return LEDGER_FAILED


def _take_lease(folder: StageFolder, attempt: int | None, again: Handle | None = None) -> Lease:
    """The stage's lease, once the harness that started this process has written the attempt down."""

    def alive(info: LeaseInfo) -> bool | None:
        seen = owner_alive(info)
        return False if seen is None and again is not None and info.launcher == again else seen

    deadline = time.monotonic() + _LAUNCH_PATIENCE
    while True:
        try:
            launcher = folder.state().launcher
            return leases.take(
                folder.path, purpose="attempt", attempt=attempt or 0, launcher=launcher, alive=alive
            )
        except LeaseHeld as held:
            if held.info.purpose != "launch" or time.monotonic() > deadline:
                raise NotMine(str(held)) from None
        time.sleep(0.01)


def _claim(
    folder: StageFolder, lease: Lease, spec: StageSpec, attempt: int | None, again: Handle | None = None
) -> StageState:
    """The state in which this attempt is the stage's current one; unchanged when the stage is done."""
    state = folder.state()
    if state.status == "succeeded":
        return state
    if again is not None and state.launcher != again:
        raise NotMine(f"attempt {state.attempt} was started otherwise, and is {state.status}")
    if attempt is None:  # started by hand, or by its cluster
        if state.active:
            state = record_end(folder, lease, state)
        state = cleared(folder, lease, state)
        state = state.begun(new_attempt(folder, state), again, next_adjust(spec, state))
        folder.write_state(state, lease)
        return state
    if (state.attempt, state.status) != (attempt, "queued"):
        raise NotMine(
            f"attempt {attempt} is not the one that is due (attempt {state.attempt} {state.status})"
        )
    return state


class Attempt:
    """The attempt once the stage is its own.

    Args:
        folder, spec: the stage.
        lease: held until the process ends.
        state: `queued` with this attempt's number.
        function: `module:name` of what does the work.
        stop: set once the attempt was asked to stop.
        slots: the slots that it was given, held until the process ends.
    """

    def __init__(
        self,
        folder: StageFolder,
        spec: StageSpec,
        lease: Lease,
        state: StageState,
        function: str,
        stop: threading.Event,
        slots: HeldSlots,
    ) -> None:
        self._folder = folder
        self._spec = adjusted(spec, state.adjust)
        self._said = told(spec, state.adjust)
        self._lease = lease
        self._function = function
        self._stop = stop
        self._slots = slots
        self._dir = folder.attempt(state.attempt)
        mark = f"{spec.id}/{state.attempt}/{lease.info.token}"
        os.environ[MARK_VARIABLE] = mark
        self._record = ProcessRecord(self._dir, mark)
        slots.sign(spec.id, mark)
        self._writer = StateWriter(folder, lease, state)

    def run(self, *, heartbeat: float, hang_after: float | None) -> int:
        """Do the stage's work and write down how it ended; the exit status."""
        _log_to(self._dir / "log.txt")
        for line in self._said:
            LOG.info("%s", line)
        adopt_orphans()
        self._record.update()
        handle = self._handle()
        self._writer.change(lambda state: state.running(handle))
        monitor = Monitor(
            self._spec,
            self._dir,
            self._lease,
            self._writer,
            self._record,
            interval=heartbeat,
            hang_after=hang_after,
            abandon=self._abandon,
            also=self._slots.touch,
        )
        monitor.start()
        sampler = Sampler(self._dir)
        sampler.start()
        # importlib.metadata takes as long to import as all of the engine; nobody waits for this file
        from toolrl_cli.attempt.environment import describe_environment

        write_json(self._dir / ENVIRONMENT.name, describe_environment(), durable=False)
        error = self._work()
        sampler.finish()
        monitor.finish()
        return self._end(error, monitor.verdict)

    def _handle(self) -> Handle:
        """The launcher's handle, or this process itself where no launcher started it."""
        handle = self._writer.state.launcher
        if handle is None or handle.get("kind") == "local":
            handle = {"kind": "local", "slots": [], **(handle or {}), **ProcessId.current().to_json()}
        return handle

    def _work(self) -> BaseException | None:
        """Run the stage's function; what it raised."""
        try:
            if not self._stop.is_set():
                load_function(self._function)(self._context())
        except ToolrlError as error:  # says all there is to say
            LOG.error("%s", error)
            return error
        except (Exception, SystemExit) as error:  # whatever a stage raises, the ledger has to tell it
            with contextlib.suppress(OSError):
                traceback.print_exc()
            return error
        return None

    def _context(self) -> StageContext:
        return StageContext(
            spec=self._spec,
            results=self._folder.results,
            stage_dir=self._folder.path,
            attempt_dir=self._dir,
            inputs=_inputs(self._folder.results, self._spec),
            stop_requested=self._stop.is_set,
        )

    def _end(self, error: BaseException | None, verdict: Failure | None) -> int:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        left = self._record.close()
        self._slots.clear()
        if left:
            LOG.info("ended %d processes that the stage left running", len(left))
        if verdict is not None:
            return self._over("failed", verdict)
        # a function that returns although it was asked to stop may have ended early; running it again is
        # cheap when it had not, trusting it is not
        if self._stop.is_set() and (error is None or isinstance(error, (ChildStopped, InterruptedError))):
            return self._over("stopped")
        if error is not None:
            # only a failure needs the patterns, which take time to compile
            from toolrl_cli.attempt.classify import classify

            failure = classify(self._dir, error=error)
            return self._over("failed", with_memory_hint(failure, self._spec))
        return self._over("succeeded")

    def _over(self, status: Literal["succeeded", "failed", "stopped"], failure: Failure | None = None) -> int:
        output = None
        if status == "succeeded":  # nobody would look for what a power cut took afterwards
            make_durable(*(self._folder.path / made for made in (OUTPUT, "checkpoints")))
            output = recorded(self._folder.path)
        self._writer.change(lambda state: state.over(status, failure, output))
        if failure is not None:
            LOG.error("failed (%s): %s", failure.kind, failure.message)
        return {"succeeded": SUCCEEDED, "failed": FAILED, "stopped": STOPPED}[status]

    def _abandon(self, failure: Failure) -> NoReturn:
        """End although the stage's function does not return; called from another thread."""
        self._end(None, failure)
        self._lease.release()
        os._exit(FAILED)


def load_function(name: str) -> Callable[[StageContext], None]:
    """The function that `module:name` means.

    Raises:
        StageError: there is no such module or function.
    """
    module_name, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise StageError(f"cannot load {name}: {error}", failure_class="config") from error
    return cast("Callable[[StageContext], None]", function)


def _inputs(results: Path, spec: StageSpec) -> dict[str, Path]:
    """Role → directory of the stages that this one reads.

    Raises:
        StageError: one of them has not succeeded, or what it left is gone.
    """
    inputs = {}
    for role, stage_id in spec.inputs.items():
        folder = Ledger(results).find(stage_id)
        state = folder.state() if folder else None
        status = state.status if state else "missing"
        if folder is None or state is None or status != "succeeded":
            raise _unusable(spec, f"{role} stage {stage_id} is {status}")
        gone = what_is_gone(folder, state)
        if gone:  # it was there when the sweep was planned
            raise _unusable(spec, f"{role} stage {stage_id} cannot be read: {gone}")
        inputs[role] = folder.path
    return inputs


def _unusable(spec: StageSpec, what: str) -> StageError:
    hint = "issue the command again that planned them both"
    return StageError(what, f"stage {spec.id}", hint, failure_class="config")


def _log_to(path: Path) -> None:
    """Send standard output and error to the log, where the launcher has not done so."""
    with explained(path), path.open("ab") as log:
        if os.path.samestat(os.fstat(1), os.fstat(log.fileno())):
            return
        LOG.info("writing to %s", path)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)


if __name__ == "__main__":
    sys.exit(main())
