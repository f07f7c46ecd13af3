"""Jobs that the controller does not know: ended ones after `MinJobAge`, and those that it lost in a crash.

`slurmctld` writes its jobs down every few seconds. One that is killed sooner forgets jobs that go on running on their
nodes, and gives their numbers to others. So a forgotten job has ended only once its attempt's heartbeat stands still.
"""

from __future__ import annotations

import time
from pathlib import Path

from toolrl_cli.errors import LedgerError
from toolrl_cli.harness.launcher import Seen
from toolrl_cli.store import lease as leases
from toolrl_cli.store.state import Handle

SILENT = 20.0
"""Seconds that a heartbeat has to stand still; an attempt writes one every 2 s."""


class Forgotten:
    """Watches the heartbeats of attempts whose jobs are not known; one object per launcher."""

    def __init__(self) -> None:
        # job's comment → heartbeat, and since when it stands
        self._beats: dict[str, tuple[float, float]] = {}

    def seen(self, handle: Handle) -> Seen:
        """Whether the attempt of a job that is not known has ended."""
        log, name = handle.get("log"), str(handle.get("id"))
        try:
            lease = leases.read(Path(str(log)).parents[2]) if log else None
        except LedgerError as error:
            return Seen("unknown", told=str(error))
        # before it has the lease an attempt is no more than a job, and there is none
        if lease is None or lease.purpose != "attempt" or lease.launcher.get("id") != name:
            return Seen("ended")
        now = time.monotonic()
        beat, since = self._beats.get(name, (None, now))
        if beat != lease.heartbeat:
            beat, since = lease.heartbeat, now
        self._beats[name] = (beat, since)
        if now - since >= SILENT:
            return Seen("ended")
        return Seen("unknown", told=f"Slurm does not know job {handle.get('job')}, whose attempt may live")
