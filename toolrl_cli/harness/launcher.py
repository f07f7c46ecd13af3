"""What a launcher is: it starts attempts somewhere, sees whether they run, and ends them.

A handle is a JSON object that the launcher gives for a submitted attempt and that is kept in `state.json`, so that
any later harness can go on with it. It holds `kind` (the launcher's), `slots` (what the attempt occupies; empty where
the launcher has a queue of its own), `harness` (who submitted it and follows it; not where nobody does) and all that
the launcher needs to find the attempt again, from another process and another machine.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from toolrl_cli.errors import LaunchError, SpecError
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.registry import Registry
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.state import Handle

if TYPE_CHECKING:
    from pydantic import BaseModel

Phase = Literal["queued", "running", "ended", "unknown"]


@dataclass(frozen=True)
class LaunchRequest:
    """An attempt to start.

    Attributes:
        stage_dir: directory of the stage.
        spec: the stage.
        attempt: number of the attempt; its directory exists.
        slots: names of the launcher's slots that are its own; empty where the launcher has a queue of its own.
        harness: the process that asks.
        function: `module:name` to run instead of the kind's own function, or None.
        hang_after: seconds without a step after which the attempt gives up, or None.
        heartbeat: seconds between two heartbeats of the attempt.
        again: this attempt may have been submitted before, by somebody who could not write its handle down.
        after: handles of attempts that have to succeed before this one starts; only for a kind that `chains`.
        alone: no harness will look after it, so that it tries again by itself what `Policy` tries again.
    """

    stage_dir: Path
    spec: StageSpec
    attempt: int
    slots: tuple[str, ...]
    harness: ProcessId
    function: str | None = None
    hang_after: float | None = None
    heartbeat: float = 2.0
    again: bool = False
    after: tuple[Handle, ...] = ()
    alone: bool = False

    @property
    def attempt_dir(self) -> Path:
        """`attempts/<n>`."""
        return self.stage_dir / "attempts" / str(self.attempt)

    @property
    def id(self) -> str:
        """A name for the attempt that no other has, of this results tree or another one.

        Letters, digits, `.`, `_` and `-`; the stage's id comes first.
        """
        where = hashlib.sha256(str(self.stage_dir.resolve()).encode()).hexdigest()[:8]
        return f"{self.spec.id}.{self.attempt}.{where}"

    def argv(self, python: str = sys.executable) -> list[str]:
        """The command that runs the attempt, with this interpreter."""
        argv = [python, "-m", "toolrl_cli.attempt.execution", str(self.stage_dir)]
        argv += ["--attempt", str(self.attempt), "--heartbeat", f"{self.heartbeat:g}"]
        if self.function is not None:
            argv += ["--function", self.function]
        if self.hang_after is not None:
            argv += ["--hang-after", f"{self.hang_after:g}"]
        return argv


@dataclass(frozen=True)
class Seen:
    """What a launcher says of a submitted attempt.

    Attributes:
        phase: `queued` or `running` while it will run or does, also where the launcher is about to run it again;
            `ended` only where that is known; `unknown` is no end, and whoever asks asks again.
        returncode: of one that has ended: its exit status, or minus the signal; None where nobody could see it.
        failure: why it ended, where the launcher knows what the attempt itself could not write down.
        told: the launcher's own word, for people: what a queued attempt waits for, why nothing is known.
    """

    phase: Phase
    returncode: int | None = None
    failure: Failure | None = None
    told: str = ""

    @property
    def alive(self) -> bool | None:
        """Whether the attempt runs or will; None where that cannot be known."""
        return None if self.phase == "unknown" else self.phase != "ended"


class LaunchLater(LaunchError):
    """An attempt cannot be submitted just now: the queue is full, or nobody answers.

    It may have been submitted all the same, with the answer lost; the same request is made again later, with `again`.
    """


@dataclass(frozen=True)
class LaunchPlan:
    """What a launcher is opened for.

    Attributes:
        by: who launches, in a few words, for those who wait for the same slots: `sweep NAME in RESULTS`.
        stages: all stages that may be started, done ones included.
        max_parallel: most attempts at a time, or None.
        side_by_side: attempts that this machine's CPUs run at a time where `max_parallel` is None.
        settings: the user's, checked by the kind's `settings`; None for a kind that has none.
        memory: stage → bytes that it is expected to take of each of its nodes, where that is known.
    """

    by: str
    stages: Sequence[StageSpec]
    max_parallel: int | None = None
    side_by_side: int = 1
    settings: Any = None
    memory: Mapping[str, float] = field(default_factory=dict)

    def lacks_memory(self, stages: Sequence[StageSpec], asked: float | None) -> str:
        """What to say of stages that ask for less of a node's memory than they are expected to take; empty for nothing.

        Args:
            stages: those that ask alike.
            asked: GiB; None or 0 for what the site gives.
        """
        need = max((self.memory.get(spec.id, 0.0) for spec in stages), default=0.0) / 2**30
        if not asked or need <= asked:
            return ""
        return f"; expected to take {need:.1f} GiB of a node's memory, and asks for {asked:g}"


@dataclass(frozen=True)
class Preview:
    """What equal stages would ask of a queue.

    Attributes:
        kinds, stages: of which kinds they are, and how many.
        asks: the request, in the queue's own words.
        answer: what the queue says to it.
        refused: whether it would not take it, or did not answer.
    """

    kinds: tuple[str, ...]
    stages: int
    asks: str
    answer: str
    refused: bool = False


@dataclass(frozen=True)
class LauncherKind:
    """One kind of launcher, by name.

    Attributes:
        name: as in `--launcher NAME`, and the `kind` of its handles.
        open: makes one for a plan.
        reach: makes one that sees and ends what was submitted earlier, from the handles alone; None where these
            name processes of this machine.
        settings: what a user can set (`launchers: {NAME: …}` in a sweep, or `launchers/NAME.yaml`); None for nothing.
        preview: what a plan's stages would ask of its queue, given the seconds that each is expected to take, by id,
            where known; nothing is submitted. None for one without a queue.
        chains: whether it starts an attempt after others by itself (`LaunchRequest.after`), so that `--detach` can be.
        several_nodes: whether it gives an attempt several machines (`StageSpec.nodes`, `processes.nodes`).
    """

    name: str
    open: Callable[[LaunchPlan], Launcher]
    reach: Callable[[], Launcher] | None = None
    settings: type[BaseModel] | None = None
    preview: Callable[[LaunchPlan, Mapping[str, float]], list[Preview]] | None = None
    chains: bool = False
    several_nodes: bool = False

    def check_nodes(self, stages: Iterable[StageSpec]) -> None:
        """Refuse stages for several machines where an attempt has one.

        Raises:
            LaunchError: there is one.
        """
        for spec in stages if not self.several_nodes else ():
            if spec.nodes > 1:
                raise LaunchError(
                    f"is planned for {spec.nodes} nodes (resources.nodes), and the {self.name} launcher gives one",
                    f"stage {spec.id}",
                    f"{for_several_nodes()} gives several; --set resources.nodes=1 plans for one",
                )


class SlotPool(Protocol):
    """Slots that a launcher without a queue of its own leaves to the scheduler; other harnesses may use them too.

    Attributes:
        slots: names of all; a stage occupies as many as its `spec.slots`.
    """

    @property
    def slots(self) -> Sequence[str]:
        """See the class."""

    def elsewhere(self, slots: Iterable[str]) -> Mapping[str, str]:
        """Which of these slots another harness is on → who, in a few words; empty where slots are not shared."""

    def reserved(self, slots: Sequence[str]) -> AbstractContextManager[bool]:
        """Keep other harnesses from these slots while an attempt is started on them, which then has them.

        Gives False, at once, when another harness was faster.

        Raises:
            LaunchError: that cannot be made sure of.
        """


class Launcher(Protocol):
    """Where attempts execute; one object per harness, used from one thread.

    Attributes:
        kind: name of the launcher, as in handles.
        delay: seconds by which files that an attempt wrote may be seen late here (network file systems).
        interval: seconds between two looks at an attempt's files that their file system bears.
    """

    kind: str
    delay: float

    @property
    def interval(self) -> float:
        """See the class."""

    @property
    def pool(self) -> SlotPool | None:
        """The slots to start attempts on; None where the launcher has a queue, which takes whatever is ready."""

    def submit(self, request: LaunchRequest) -> Handle:
        """Submit an attempt so that it survives this process.

        A request that is made `again` gives the handle of what was submitted before, where it was. A launcher with a
        `pool` is never asked again.

        Raises:
            LaunchLater: not now.
            LaunchError: it cannot be started.
        """

    def poll(self, handles: Sequence[Handle]) -> list[Seen]:
        """How each of these attempts stands, with one question for all; whoever submitted them.

        Never raises for a launcher that does not answer: what it says then is `unknown`.
        """

    def cancel(self, handle: Handle, *, kill: bool = False) -> None:
        """Ask the attempt to stop at a point from which it can go on, or end it at once; a queued one does not start.

        Raises:
            LaunchError: the launcher refuses, or does not answer.
        """

    def log(self, handle: Handle) -> Path | None:
        """What the launcher itself wrote about the attempt, beside the attempt's own `log.txt`; None for nothing."""

    def wait(self, handles: Sequence[Handle], wake: int, timeout: float) -> None:
        """Return when one of the attempts may have ended, `wake` can be read, or after `timeout` seconds.

        A launcher that cannot be told of ends returns when it is time to poll again.
        """


@runtime_checkable
class TakesMany(Protocol):
    """What a launcher may be beside: one that submits many attempts with fewer questions than one for each."""

    def submit_many(
        self, requests: Sequence[LaunchRequest]
    ) -> Iterator[tuple[LaunchRequest, Handle | LaunchError]]:
        """As `Launcher.submit`: each attempt once, as soon as it is known, with its handle or why it has none."""


def for_several_nodes() -> str:
    """The options that name a launcher which gives an attempt several machines."""
    return " or ".join(f"--launcher {name}" for name, kind in LAUNCHERS.all().items() if kind.several_nodes)


def queue_name(handle: Handle) -> str:
    """What a queue calls an attempt that it has."""
    return str(handle.get("job") or handle.get("id") or "")


def slot_name(slot: str) -> str:
    """What people call a slot: `GPU 0`, `CPU slot 1`."""
    if slot.startswith("cpu"):
        return f"CPU slot {slot.removeprefix('cpu')}"
    return f"GPU {slot}"


LAUNCHERS: Registry[LauncherKind] = Registry(
    "toolrl.launchers", "toolrl_cli.harness.launchers", LauncherKind, "launcher", SpecError
)
