"""What can go wrong with an attempt, what the user can do about it, and which of it is tried again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

FailureClass = Literal[
    "config", "reward", "oom", "hang", "diverged", "preempted", "infra", "killed", "unknown"
]
FAILURE_CLASSES: tuple[FailureClass, ...] = get_args(FailureClass)

LEDGER_UNWRITABLE = 74
"""Exit status of an attempt that could not write its state (EX_IOERR)."""


def failure_class(name: object) -> FailureClass:
    """The class called so; `unknown` for a name that this version does not know."""
    return next((known for known in FAILURE_CLASSES if known == name), "unknown")


HINTS: Mapping[FailureClass, str] = {
    "config": "correct the setting it names, then `toolrl sweep` of its file (`resume` goes by the plan that was made)",
    "reward": "a reward function raised; try it on this sample with `toolrl reward explain`",
    "oom": "use a smaller micro-batch (results do not change), a shorter response limit or more devices",
    "hang": "look at the end of the log; the next attempt goes on from the last checkpoint",
    "diverged": "loss or reward is not a finite number; lower the learning rate or look at the reward's range",
    "preempted": "the machine was taken back; the next attempt goes on from the last checkpoint",
    "infra": "a fault of machine, disk or network; the next attempt goes on from the last checkpoint",
    "killed": "something outside ended it; the kernel does so when memory is short (see `dmesg`)",
    "unknown": "the log has the whole story",
}


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed.

    Attributes:
        kind: the class, which decides about retries.
        message: the root cause in one line.
        hint: what to do about it.
    """

    kind: FailureClass
    message: str
    hint: str = ""

    @classmethod
    def of(cls, kind: FailureClass, message: str, hint: str = "") -> Failure:
        """A failure with the hint of its class unless there is a better one."""
        return cls(kind, message, hint or HINTS[kind])

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Failure:
        """Read what `to_json` wrote; a class that this version does not know becomes `unknown`."""
        return cls(failure_class(data["class"]), str(data["message"]), str(data.get("hint", "")))

    def to_json(self) -> dict[str, Any]:
        """As in `state.json`."""
        return {"class": self.kind, "message": self.message, "hint": self.hint}
