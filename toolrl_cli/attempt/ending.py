"""What is left to do after an attempt that could not do it itself: killed, crashed, or lost with its machine."""

from __future__ import annotations

import contextlib

from toolrl_cli.attempt.adjusting import adjusted, with_memory_hint
from toolrl_cli.attempt.leftovers import end_leftovers
from toolrl_cli.errors import LedgerError
from toolrl_cli.store import lease as leases
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.lease import Lease, LeaseHeld, last_seen
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.liveness import HandleAlive, lease_alive, local_alive
from toolrl_cli.store.state import StageState


def settle(
    folder: StageFolder,
    attempt: int,
    *,
    returncode: int | None = None,
    failure: Failure | None = None,
    asked_to_stop: bool = False,
    alive: HandleAlive = local_alive,
) -> StageState | None:
    """Write down how an attempt ended that is known to have ended, unless it did so itself.

    Args:
        folder: the stage.
        attempt: the attempt's number.
        returncode: how its process ended, where that is known.
        failure: why it ended, where its launcher knows; None: what it left behind tells.
        asked_to_stop: it was ended on request, so the stage counts as stopped and not as failed.
        alive: see `observed`.

    Returns:
        The state now; None while another process holds the stage.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    state = folder.state()
    if not state.active or state.attempt != attempt:
        return state
    try:
        lease = leases.take(folder.path, purpose="launch", alive=lease_alive(alive))
    except LeaseHeld:
        return None
    with lease:
        state = folder.state()
        if not state.active or state.attempt != attempt:
            return state
        return record_end(
            folder, lease, state, returncode=returncode, failure=failure, asked_to_stop=asked_to_stop
        )


def record_end(
    folder: StageFolder,
    lease: Lease,
    state: StageState,
    *,
    returncode: int | None = None,
    failure: Failure | None = None,
    asked_to_stop: bool = False,
) -> StageState:
    """The same with the lease in hand: leftovers are killed, then the end is classified and written.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    end_leftovers(folder)
    seen = last_seen(lease.before, state.attempt)
    if asked_to_stop:
        state = state.over("stopped", last_seen=seen)
    else:
        # an attempt in good order imports this module too, and has no use for the patterns
        from toolrl_cli.attempt.classify import classify

        failure = failure or classify(folder.attempt(state.attempt), returncode=returncode)
        state = state.over("failed", _hinted(folder, state, failure), last_seen=seen)
    folder.write_state(state, lease)
    return state


def _hinted(folder: StageFolder, state: StageState, failure: Failure) -> Failure:
    if failure.kind != "oom":
        return failure
    try:
        spec = adjusted(folder.spec(), state.adjust)
    except LedgerError:  # torn; whoever starts the next attempt writes it anew
        return failure
    return with_memory_hint(failure, spec)


def clear_lease(folder: StageFolder, *, alive: HandleAlive = local_alive) -> None:
    """Remove the lease of an attempt that was killed after its last word and before it gave the lease back.

    Raises:
        LedgerError: the file system refuses.
    """
    if folder.lease() is None:
        return
    with contextlib.suppress(LeaseHeld):  # its owner is about to give it back, or cannot be seen from here
        leases.take(folder.path, purpose="launch", alive=lease_alive(alive)).release()
