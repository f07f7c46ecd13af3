"""What has to be done before the next attempt of a stage can begin."""

from __future__ import annotations

from toolrl_cli.attempt.leftovers import end_leftovers
from toolrl_cli.store.files import explained
from toolrl_cli.store.lease import Lease
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.state import StageState


def cleared(folder: StageFolder, lease: Lease, state: StageState) -> StageState:
    """The state from which the next attempt goes on: nothing of earlier ones runs, and no lost model is read.

    Raises:
        LedgerError: the file system refuses.
    """
    end_leftovers(folder)
    if state.attempt == 0 and state.going_back is None:
        return state
    # every attempt imports this module, and a first one has no use for that one
    from toolrl_cli.attempt.setting_back import go_back

    return go_back(folder, lease, state)


def new_attempt(folder: StageFolder, state: StageState) -> int:
    """Make the directory of the next attempt; its number.

    Raises:
        LedgerError: the file system refuses.
    """
    numbers = [int(attempt.name) for attempt in folder.attempts()]
    n = max([state.attempt, *numbers]) + 1
    with explained(folder.attempt(n)):
        folder.attempt(n).mkdir(parents=True)
    return n
