"""Whether an attempt really runs: the one answer to it, from the ledger, the lease and the launcher."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.lease import LeaseInfo, last_seen, owner_alive
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.roots import original_of
from toolrl_cli.store.state import Handle, StageState

HandleAlive = Callable[[Handle], "bool | None"]


def local_alive(handle: Handle) -> bool | None:
    """Whether the attempt runs, for handles that name a process; None for other launchers' handles."""
    try:
        return ProcessId.from_json(handle).alive()
    except (KeyError, TypeError, ValueError):
        return None


def harness_of(handle: Handle | None) -> ProcessId | None:
    """The harness that started the attempt, if the handle says."""
    harness = (handle or {}).get("harness")
    return ProcessId.from_json(harness) if isinstance(harness, Mapping) else None


def lease_alive(alive: HandleAlive) -> Callable[[LeaseInfo], bool | None]:
    """Whether the owner of a lease runs: by its process where that can be seen, else by its handle."""

    def owner_or_handle_alive(info: LeaseInfo) -> bool | None:
        seen = owner_alive(info)
        return alive(info.launcher) if seen is None and info.launcher else seen

    return owner_or_handle_alive


def observed(folder: StageFolder, *, alive: HandleAlive = local_alive) -> StageState:
    """The state as it is now: an attempt that is written down as running and known to be dead has been killed.

    Nothing is written. An attempt of which nothing can be known from here still counts as running.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    state = folder.state()
    if not state.active or attempt_alive(folder, state, alive=alive) is not False:
        return state
    again = folder.state()  # it may have ended in good order between the two looks
    if again != state:
        return again
    original = original_of(folder.results)
    why = f"was at work in {original} when the results were copied" if original else "ended without a word"
    failure = Failure.of("killed", f"attempt {state.attempt} {why}")
    return state.over("failed", failure, last_seen=last_seen(folder.lease(), state.attempt))


def attempt_alive(folder: StageFolder, state: StageState, *, alive: HandleAlive = local_alive) -> bool | None:
    """Whether the attempt that an active state tells of still runs; None when that cannot be known.

    The lease tells it once the attempt has it, the launcher's handle before. In a copied tree both are the
    original's, and so is the attempt.
    """
    if original_of(folder.results) is not None:
        return False
    lease = folder.lease()
    held = lease_alive(alive)(lease) if lease and lease.purpose == "attempt" else False
    if held is not False:
        return held
    return alive(state.launcher) if state.launcher else False
