"""What a launcher is: it starts attempts somewhere, sees whether they run, and ends them.

A handle is a JSON object that the launcher gives for a started attempt and that is kept in `state.json`, so
that a later harness can go on with it. It holds `kind` (the launcher's), `slots` (what the attempt occupies),
`harness` (who started it) and what the launcher needs to find the attempt again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from toolrl_cli.errors import SpecError
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.registry import Registry
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.state import Handle


@dataclass(frozen=True)
class LaunchRequest:
    """An attempt to start.

    Attributes:
        stage_dir: directory of the stage.
        attempt: number of the attempt; its directory exists.
        slots: names of the launcher's slots that are its own.
        harness: the process that asks.
        function: `module:name` to run instead of the kind's own function, or None.
        hang_after: seconds without a step after which the attempt gives up, or None.
        heartbeat: seconds between two heartbeats of the attempt.
    """

    stage_dir: Path
    attempt: int
    slots: tuple[str, ...]
    harness: ProcessId
    function: str | None = None
    hang_after: float | None = None
    heartbeat: float = 2.0

    @property
    def attempt_dir(self) -> Path:
        """`attempts/<n>`."""
        return self.stage_dir / "attempts" / str(self.attempt)

    def argv(self) -> list[str]:
        """The command that runs the attempt."""
        argv = [sys.executable, "-m", "toolrl_cli.attempt.execution", str(self.stage_dir)]
        argv += ["--attempt", str(self.attempt), "--heartbeat", f"{self.heartbeat:g}"]
        if self.function is not None:
            argv += ["--function", self.function]
        if self.hang_after is not None:
            argv += ["--hang-after", f"{self.hang_after:g}"]
        return argv


@dataclass(frozen=True)
class Ended:
    """An attempt's process is no more.

    Attributes:
        returncode: its exit status, or minus the signal; None where nobody could see it.
    """

    returncode: int | None = None


@dataclass(frozen=True)
class LaunchPlan:
    """What a launcher is opened for.

    Attributes:
        by: who launches, in a few words, for those who wait for the same slots: `sweep NAME in RESULTS`.
        stages: all stages that may be started, done ones included.
        max_parallel: most attempts at a time, or None.
        side_by_side: attempts that this machine's CPUs run at a time where `max_parallel` is None.
    """

    by: str
    stages: Sequence[StageSpec]
    max_parallel: int | None = None
    side_by_side: int = 1


@dataclass(frozen=True)
class LauncherKind:
    """One kind of launcher, by name.

    Attributes:
        name: as in `--launcher NAME`, and the `kind` of its handles.
        open: makes one for a plan.
    """

    name: str
    open: Callable[[LaunchPlan], Launcher]


class Launcher(Protocol):
    """Where attempts execute; one object per harness, used from one thread.

    Attributes:
        kind: name of the launcher, as in handles.
        delay: seconds by which files that an attempt wrote may be seen late here (network file systems).
    """

    kind: str
    delay: float

    @property
    def slots(self) -> Sequence[str]:
        """Names of all slots; a stage occupies as many as its `spec.slots`."""

    def elsewhere(self, slots: Iterable[str]) -> Mapping[str, str]:
        """Which of these slots another harness is on → who, in a few words; empty where slots are not shared."""

    def reserved(self, slots: Sequence[str]) -> AbstractContextManager[bool]:
        """Keep other harnesses from these slots while an attempt is started on them, which then has them.

        Gives False, at once, when another harness was faster.

        Raises:
            LaunchError: that cannot be made sure of.
        """

    def start(self, request: LaunchRequest) -> Handle:
        """Start an attempt so that it survives this process.

        Raises:
            LaunchError: it could not be started.
        """

    def poll(self, handle: Handle) -> Ended | None:
        """None while the attempt runs or nothing can be said; what is unknown has not ended."""

    def is_alive(self, handle: Handle) -> bool | None:
        """Whether the attempt runs; None when that cannot be known."""

    def stop(self, handle: Handle, *, kill: bool = False) -> None:
        """Ask the attempt to stop at a point from which it can go on, or end it at once.

        Raises:
            LaunchError: the launcher refuses.
        """

    def wait(self, handles: Sequence[Handle], wake: int, timeout: float) -> None:
        """Return when one of the attempts may have ended, `wake` can be read, or after `timeout` seconds."""


def slot_name(slot: str) -> str:
    """What people call a slot: `GPU 0`, `CPU slot 1`."""
    if slot.startswith("cpu"):
        return f"CPU slot {slot.removeprefix('cpu')}"
    return f"GPU {slot}"


LAUNCHERS: Registry[LauncherKind] = Registry(
    "toolrl.launchers", "toolrl_cli.harness.launchers", LauncherKind, "launcher", SpecError
)
