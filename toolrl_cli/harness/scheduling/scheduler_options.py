"""How one command wants its work done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Options:
    """How one command wants its work done.

    Attributes:
        max_parallel: most attempts at a time, or None for as many as the slots allow.
        fail_fast: stop everything as soon as one stage has failed for good.
        functions, heartbeat: see `AttemptOptions`.
        stop_grace: seconds that attempts have to stop in good order before they are killed.
        held_patience: seconds without a heartbeat after which a stage held by an owner that cannot be seen
            from here is given up for this command; it is never taken over.
        take_over: the command by which the user takes such a stage over.
        progress_interval: seconds between two looks at running attempts' progress.
    """

    max_parallel: int | None = None
    fail_fast: bool = False
    functions: Mapping[str, str] = field(default_factory=dict)
    heartbeat: float = 2.0
    stop_grace: float = 60.0
    held_patience: float = 600.0
    take_over: str = ""
    progress_interval: float = 1.0
