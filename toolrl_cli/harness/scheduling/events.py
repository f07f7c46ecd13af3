"""What the scheduler tells while it works, and what it says at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from toolrl_cli.store.state import StageState

What = Literal[
    "began",  # work on the sweep begins; `seconds` is what its stages are expected to take
    "started",  # an attempt was started
    "adopted",  # an attempt that an earlier harness started still runs, and is this one's now
    "waiting",  # another harness runs the stage, or may do so; about no stage: others are on the slots
    "progress",  # the attempt has taken up work, or made steps
    "succeeded",
    "failed",  # the attempt failed; `retrying` follows if there is another one
    "retrying",
    "stopped",  # the attempt ended on request and can go on
    "blocked",  # an input failed, so the stage cannot run
    "held",  # given up waiting for an owner that cannot be seen from here
    "paused",  # too many stages failed alike; nothing new is started
    "stopping",  # a stop was asked for; attempts are ending
]

End = Literal["succeeded", "failed", "stopped", "blocked", "held", "pending"]


@dataclass(frozen=True)
class Event:
    """Something happened.

    Attributes:
        what: the kind of event.
        stage: id of the stage; empty for `began`, `paused` and `stopping`, which are about all, and for slots.
        state: the stage's state right after, where the event is about an attempt.
        message: one line for people; may be empty.
        time: unix seconds.
        seconds: of `began`: owed stage → what it is expected to add to the sweep's time, where that is known of every
            one.
    """

    what: What
    stage: str = ""
    state: StageState | None = None
    message: str = ""
    time: float = field(default_factory=time.time)
    seconds: Mapping[str, float] = field(default_factory=dict)


Observer = Callable[[Event], None]


@dataclass(frozen=True)
class Outcome:
    """How one command's work ended.

    Attributes:
        stages: how each stage stands; `pending` when it was not run.
        interrupted: a stop was asked for.
        paused: why the scheduler started nothing more of its own accord; empty otherwise.
    """

    stages: Mapping[str, End]
    interrupted: bool = False
    paused: str = ""

    @property
    def exit_code(self) -> int:
        """0 everything succeeded; 130 interrupted; 1 anything else. All of it can be issued again."""
        if all(end == "succeeded" for end in self.stages.values()):
            return 0
        return 130 if self.interrupted else 1
