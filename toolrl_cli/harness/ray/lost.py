"""Attempts of which the cluster knows nothing any more: what their own files say.

A head that is started anew has forgotten its jobs, unless Ray keeps them in Redis. Ray kills the processes of a job
within a second or so of its supervisor's death, but an attempt may also outlive its cluster; both were seen. So the
attempt is judged by its lease: its process where that can be seen, else its heartbeat. One whose heartbeat stands
still for `silence` seconds has ended by the launcher's word; should it live after all, it finds at its next heartbeat
that the lease is another's, and ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from toolrl_cli.errors import LedgerError
from toolrl_cli.harness.launcher import Seen
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.lease import owner_alive
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.state import Handle

GONE = "the cluster does not know its job any more: its head was started anew"


@dataclass
class Lost:
    """Judges them; one object per launcher, because a heartbeat is seen to stand still only over time.

    Attributes:
        silence: see above, seconds.
    """

    silence: float
    clock: Callable[[], float] = time.monotonic
    _beats: dict[str, tuple[float, float]] = field(default_factory=dict)

    def seen(self, handle: Handle) -> Seen:
        """How the attempt stands."""
        folder, n = StageFolder(Path(str(handle["stage"]))), int(handle["attempt"])
        if not folder.path.is_dir():
            return Seen("unknown", told=f"{GONE}, and {folder.path} cannot be seen from here")
        try:
            state, lease = folder.state(), folder.lease()
        except LedgerError as error:
            return Seen("unknown", told=str(error))
        if not state.active or state.attempt != n:
            return Seen("ended")
        if lease is None or lease.purpose != "attempt" or lease.attempt != n:
            # it never began, and should it begin now, it finds that it is not the one that is due
            return Seen("ended", failure=Failure.of("preempted", GONE))
        alive = owner_alive(lease)
        if alive is None:
            beat, since = self._beats.get(lease.token, (None, 0.0))
            if beat != lease.heartbeat:
                self._beats[lease.token] = (lease.heartbeat, self.clock())
                alive = True if beat is not None else None
            elif self.clock() - since > self.silence:
                alive = False
        if alive is None:
            return Seen("unknown", told=f"{GONE}; it is watched for a heartbeat")
        if alive:
            return Seen("running", told=f"{GONE}, and it runs on without it")
        return Seen("ended", failure=Failure.of("infra", f"{GONE}, and it has ended with it"))
