"""Which failures are tried again, how often, and after how long a pause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolrl_cli.store.failures import FailureClass


@dataclass(frozen=True)
class Retry:
    """How often one class of failure is tried again within one command, and after how long.

    Attributes:
        times: further attempts.
        wait: seconds before the first of them; doubled for each one after.
        longest: bound of that doubling, seconds.
    """

    times: int = 0
    wait: float = 0.0
    longest: float = 600.0

    def delay(self, earlier: int) -> float:
        """Seconds to wait before the next attempt, after `earlier` retries for this class."""
        return float(min(self.wait * 2**earlier, self.longest))


@dataclass(frozen=True)
class Policy:
    """What the scheduler does about failures within one command.

    A new command owes every failed stage again, whatever happened before. Retries go on from the last whole
    checkpoint. `config`, `reward` and `diverged` are never retried, because the same would happen again;
    `oom` is where the next attempt can have a smaller micro-batch (`attempt.adjusting`).

    Attributes:
        retries: per class.
        hang_after: seconds without a training step after which an attempt counts as hung, for stages that
            have steps; None for never. The first step of an attempt may take half an hour in any case.
        pause_after_equal: so many stages failing with the same root cause pause the sweep.
    """

    retries: Mapping[FailureClass, Retry] = field(
        default_factory=lambda: {
            "preempted": Retry(times=10, wait=5.0),
            "infra": Retry(times=3, wait=10.0),
            "hang": Retry(times=1),
            "killed": Retry(times=1, wait=1.0),
            "oom": Retry(times=1),
        }
    )
    hang_after: float | None = 3600.0
    pause_after_equal: int = 3

    def retry(self, kind: FailureClass) -> Retry:
        """The rule for a class."""
        return self.retries.get(kind, Retry())
