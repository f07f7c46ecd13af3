"""A launcher without processes: attempts take simulated time and end as a script says.

It stands in for the machine, never for the engine: states and leases are written by the code under test.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolrl_cli.harness.launcher import LaunchLater, LaunchRequest, Seen
from toolrl_cli.store import lease as leases
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.state import Handle

Ending = Failure | str
"""How an attempt ends: a failure that it writes, `succeeded`, `vanishes` (dies without a word), or `runs`."""


@dataclass
class FakeAttempt:
    folder: StageFolder
    n: int
    slots: tuple[str, ...]
    ends_at: float
    ending: Ending
    returncode: int | None = None
    over: bool = False


@dataclass
class FakeLauncher:
    """Attributes: what happened, for tests to look at.

    starts: (time, stage id, attempt number) in order.
    most: most attempts at any one time.

    `busy` is how often it cannot take an attempt before it does.
    `taken` are the slots that another harness is on; `faster` those that one takes right before we would.
    """

    slots: Sequence[str] = ("a", "b")
    seconds: Callable[[str], float] = lambda stage_id: 1.0
    endings: Mapping[str, Sequence[Ending]] = field(default_factory=dict)
    delay: float = 0.0
    interval: float = 0.0
    queues: bool = False
    polls: int = 0
    busy: int = 0
    again: list[bool] = field(default_factory=list)
    kind: str = "fake"
    now: float = 0.0
    starts: list[tuple[float, str, int]] = field(default_factory=list)
    stopped: list[tuple[str, bool]] = field(default_factory=list)
    attempts: list[FakeAttempt] = field(default_factory=list)
    most: int = 0
    deaf: bool = False
    taken: Mapping[str, str] = field(default_factory=dict)
    faster: list[str] = field(default_factory=list)
    on_wait: Callable[[], None] = lambda: None

    def clock(self) -> float:
        return self.now

    @property
    def pool(self) -> FakeLauncher | None:
        return None if self.queues else self

    def submit(self, request: LaunchRequest) -> Handle:
        self.again.append(request.again)
        if self.busy:
            self.busy -= 1
            raise LaunchLater("the queue is full", self.kind)
        folder = StageFolder(Path(request.stage_dir))
        script = self.endings.get(folder.id, ())
        ending = script[min(request.attempt, len(script)) - 1] if script else "succeeded"
        end = float("inf") if ending == "runs" else self.now + self.seconds(folder.id)
        self.attempts.append(FakeAttempt(folder, request.attempt, request.slots, end, ending))
        self.starts.append((self.now, folder.id, request.attempt))
        self.most = max(self.most, sum(not attempt.over for attempt in self.attempts))
        return {"kind": self.kind, "number": len(self.attempts) - 1, "slots": list(request.slots)}

    def elsewhere(self, slots: Iterable[str]) -> Mapping[str, str]:
        return {slot: who for slot, who in self.taken.items() if slot in slots}

    @contextlib.contextmanager
    def reserved(self, slots: Sequence[str]) -> Iterator[bool]:
        lost = [slot for slot in slots if slot in self.faster]
        self.faster = [slot for slot in self.faster if slot not in lost]
        yield not lost

    def poll(self, handles: Sequence[Handle]) -> list[Seen]:
        self.polls += 1
        return [self.seen(handle) for handle in handles]

    def seen(self, handle: Handle) -> Seen:
        attempt = self.attempts[handle["number"]]
        return Seen("ended", attempt.returncode) if attempt.over else Seen("running")

    def cancel(self, handle: Handle, *, kill: bool = False) -> None:
        attempt = self.attempts[handle["number"]]
        self.stopped.append((attempt.folder.id, kill))
        if kill:
            attempt.over, attempt.returncode = True, -9
        elif not self.deaf:
            attempt.ending, attempt.ends_at = "stopped", self.now

    def log(self, handle: Handle) -> Path | None:
        return None

    def wait(self, handles: Sequence[Handle], wake: int, timeout: float) -> None:
        self.on_wait()
        due = [a.ends_at for a in self.attempts if not a.over]
        self.now = max(self.now, min([self.now + timeout + 1e-6, *due]))
        for attempt in self.attempts:
            if not attempt.over and attempt.ends_at <= self.now:
                self._end(attempt)

    def _end(self, attempt: FakeAttempt) -> None:
        attempt.over, attempt.returncode = True, 0
        if attempt.ending == "vanishes":
            attempt.returncode = -9
            return
        with leases.take(attempt.folder.path, purpose="attempt", attempt=attempt.n) as lease:
            state = attempt.folder.state()
            state = state.running(state.launcher or {})
            if isinstance(attempt.ending, Failure):
                state = state.over("failed", attempt.ending)
            else:
                state = state.over("stopped" if attempt.ending == "stopped" else "succeeded")
            attempt.folder.write_state(state, lease)
