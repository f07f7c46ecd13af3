"""A results tree knows itself: a copy of one in which attempts run has nothing to do with them.

`RESULTS/root.json` says where the tree is. Where that is another folder which is still there, this tree is its copy:
its leases, harnesses and processes are the other's, and are let go of before anything is started or stopped here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from toolrl_cli.errors import LedgerError
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.files import explained, write_json
from toolrl_cli.store.lease import last_seen
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.roots import original_of
from toolrl_cli.store.schemas import PROCESSES, ROOT

LOCK = ".root.lock"


def adopt(results: Path, *, mark: bool = True) -> Path | None:
    """Make a results tree one of its own, where it has been copied or moved since it was last at work.

    Args:
        results: the results root; nothing happens where there is none.
        mark: write down where a tree is that has not known so far.

    Returns:
        The tree that this one is a copy of; None where it is none, or has been adopted before.

    Raises:
        LedgerError: the file system refuses.
    """
    if not results.is_dir():
        return None
    here = results.resolve()
    known = ROOT.load(here / ROOT.name)
    if known.get("path") == str(here) if known else not mark:
        return None
    with explained(here), _alone(here):
        record = ROOT.load(here / ROOT.name) or {}
        recorded = Path(str(record.get("path", "")))
        if recorded == here:
            return None
        token = str(record.get("token", ""))
        if original := original_of(here):
            for folder in Ledger(results).folders():
                _let_go(folder, original)
            for harness in results.glob("sweeps/*/harnesses/*.json"):
                harness.unlink(missing_ok=True)
        elif token and recorded.is_dir():
            return None  # the same tree by another path
        fresh = os.urandom(16).hex()
        write_json(here / ROOT.name, ROOT.stamped({"path": str(here), "token": fresh}))
        return original


@contextlib.contextmanager
def _alone(results: Path) -> Iterator[None]:
    """One at a time: a second adopter would let go of what the first has started."""
    with (results / LOCK).open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _let_go(folder: StageFolder, original: Path) -> None:
    for attempt in folder.attempts():
        record = PROCESSES.load(attempt / PROCESSES.name)
        if record is not None and not record.get("ended"):
            write_json(attempt / PROCESSES.name, {**record, "ended": True, "descendants": []})
    lease = folder.lease()
    for path in folder.path.glob("lease*"):
        path.unlink(missing_ok=True)
    with contextlib.suppress(LedgerError):  # torn: whoever starts the next attempt writes it anew
        state = folder.state()
        if state.active:
            failure = Failure.of(
                "killed", f"it was at work in {original} when the results were copied from there"
            )
            ended = state.over("failed", failure, last_seen=last_seen(lease, state.attempt))
            write_json(folder.path / "state.json", ended.to_json())
