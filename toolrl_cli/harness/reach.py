"""What the launchers say of attempts that somebody submitted, asked by the handles that were written down.

A handle names its launcher, which need not be the one that a command was given: the same results may hold attempts
of this machine beside those of a cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolrl_cli.errors import LaunchError, SpecError
from toolrl_cli.harness.launcher import LAUNCHERS, Launcher, Seen
from toolrl_cli.store.liveness import local_alive
from toolrl_cli.store.state import Handle, StageState

LOCAL = "local"


class Reach:
    """Sees and ends attempts of all launchers; one object per command, used from one thread.

    Args:
        launcher: the one that this command submits to, if it does; others are opened as handles name them.
    """

    def __init__(self, launcher: Launcher | None = None) -> None:
        self._by_kind: dict[str, Launcher | None] = {} if launcher is None else {launcher.kind: launcher}

    def poll(self, handles: Sequence[Handle]) -> list[Seen]:
        """How each attempt stands; one question to each launcher."""
        seen: list[Seen] = [Seen("unknown")] * len(handles)
        by_kind: dict[str, list[int]] = {}
        for place, handle in enumerate(handles):
            by_kind.setdefault(_kind(handle), []).append(place)
        for kind, places in by_kind.items():
            launcher = self._of(kind)
            theirs = [handles[place] for place in places]
            answers = launcher.poll(theirs) if launcher else [_by_process(handle) for handle in theirs]
            for place, answer in zip(places, answers, strict=True):
                seen[place] = answer
        return seen

    def alive(self, handle: Handle) -> bool | None:
        """Whether the attempt runs or will; None when that cannot be known. As `store.liveness` asks for it."""
        (seen,) = self.poll([handle])
        return seen.alive

    def waits_again(self, state: StageState) -> bool:
        """Whether a stage's attempt has ended, and the cluster has the same job for the next one.

        A job puts itself back into the queue where its time is up, and pauses before it tries again what failed.
        """
        handle = state.launcher
        if handle is None or state.status not in ("failed", "stopped"):
            return False
        return self.answers(handle) and bool(self.alive(handle))

    def answers(self, handle: Handle) -> bool:
        """Whether a launcher knows of this attempt, now or later, without its process being seen from here."""
        return _kind(handle) != LOCAL and self._of(_kind(handle)) is not None

    def cancel(self, handle: Handle, *, kill: bool = False) -> bool:
        """Ask the attempt to stop, or end it; False where it cannot be reached.

        Raises:
            LaunchError: its launcher refuses, or does not answer.
        """
        launcher, alive = self._of(_kind(handle)), self.alive(handle)
        if launcher is None or alive is False or (alive is None and _kind(handle) == LOCAL):
            return False
        launcher.cancel(handle, kill=kill)
        return True

    def log(self, handle: Handle) -> Path | None:
        """What the launcher itself wrote about the attempt; None for nothing."""
        launcher = self._of(_kind(handle))
        return launcher.log(handle) if launcher else None

    def _of(self, kind: str) -> Launcher | None:
        if kind not in self._by_kind:
            self._by_kind[kind] = _reached(kind)
        return self._by_kind[kind]


def _kind(handle: Handle) -> str:
    return str(handle.get("kind", LOCAL))


def _reached(kind: str) -> Launcher | None:
    """The launcher that handles of this kind name; None where they can only be judged by their process."""
    try:
        found = LAUNCHERS.get(kind)
        return found.reach() if found.reach else None
    except (LaunchError, SpecError):  # of a distribution that is not installed here, or its programs are not
        return None


def _by_process(handle: Handle) -> Seen:
    alive = local_alive(handle)
    if alive is None:
        return Seen("unknown", told=f"its launcher, {_kind(handle)}, cannot be asked from here")
    return Seen("running" if alive else "ended")
