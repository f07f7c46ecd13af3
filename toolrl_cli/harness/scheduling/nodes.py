"""What the scheduler keeps in mind about a stage while it works; all of it is gone with the process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from toolrl_cli.harness.launcher import Seen
from toolrl_cli.harness.scheduling.events import End
from toolrl_cli.harness.scheduling.queueing import Rank
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.failures import FailureClass
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.state import Handle, StageState


@dataclass
class Watched:
    """An attempt under way.

    Attributes:
        n: its number.
        handle: the launcher's.
        slots: names of the slots it is on.
        foreign: another harness, which is alive, has started it and will see to it.
        asked_to_stop: its end counts as stopped, not as failed.
        told: what its launcher has said of it to people, each of which is told once.
        ended: how its process ended; the ledger may not say so yet.
        ended_at: when that was seen, by the scheduler's clock.
    """

    n: int
    handle: Handle
    slots: tuple[str, ...]
    foreign: bool = False
    asked_to_stop: bool = False
    told: set[str] = field(default_factory=set)
    ended: Seen | None = None
    ended_at: float = 0.0


@dataclass
class Node:
    """A stage and where it stands.

    Attributes:
        rank: which of several ready stages starts first.
        owed_inputs: ids of the stages that have to succeed before it can start.
        end: how it came out of this command; None while that is open.
        attempt: what is under way, if anything.
        shown: the state that was last told.
        retried: retries so far within this command.
        sign_of_life: last heartbeat of an owner that cannot be seen from here, and when it was new.
    """

    spec: StageSpec
    folder: StageFolder
    rank: Rank
    owed_inputs: set[str]
    end: End | None = None
    attempt: Watched | None = None
    shown: StageState | None = None
    retried: Counter[FailureClass] = field(default_factory=Counter)
    sign_of_life: tuple[float, float] | None = None
