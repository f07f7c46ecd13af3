"""The exceptions that cross a room's boundary.

Each says *what* is wrong, *where* (file, key path, stage) and *what to do*; commands turn it into one line.
`RewardError` is not here: `toolrl_cli.rewards` is usable without the rest of toolrl.
"""

from __future__ import annotations

from collections.abc import Sequence


class ToolrlError(Exception):
    """Base of all expected failures.

    Args:
        what: the fault in one clause, with the bad value.
        where: file, key path or stage it was found in; may be empty.
        hint: what the user can do about it; may be empty.
    """

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line} ({self.hint})" if self.hint else line


class SpecError(ToolrlError):
    """The sweep, or a value in it, cannot be used."""


class Mistakes(SpecError):
    """Several mistakes of one file, each with its own place; as text a line each."""

    def __init__(self, faults: Sequence[SpecError]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, faults)))


class LedgerError(ToolrlError):
    """The results root cannot be read or written as it must be."""


class LaunchError(ToolrlError):
    """A launcher could not start, see or stop an attempt."""


class StageError(ToolrlError):
    """A stage failed for a reason it knows.

    Args:
        failure_class: one of the failure classes (`config`, `reward`, `oom`, …), or None to have it read
            off the attempt's log and exit status.
    """

    def __init__(
        self, what: str, where: str = "", hint: str = "", *, failure_class: str | None = None
    ) -> None:
        self.failure_class = failure_class
        super().__init__(what, where, hint)


class BenchmarkError(StageError):
    """A benchmark cannot be generated or scored."""


class TrackingError(ToolrlError):
    """Weights & Biases refused, or is set up in a way that cannot work."""
