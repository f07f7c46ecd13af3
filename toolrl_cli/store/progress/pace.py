"""How fast an attempt makes its steps: `pace.json`, for the estimates of later stages.

verl's RL trainer logs how long each step took, its SFT trainer does not, and neither says how long it took to
start. The attempt's monitor sees both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolrl_cli.store.files import write_json
from toolrl_cli.store.schemas import PACE

PACE_FILE = PACE.name


@dataclass(frozen=True)
class Pace:
    """What one attempt took.

    Attributes:
        start_up: seconds from the attempt's start until a step was seen; the monitor looks every two seconds.
        per_step: mean seconds between two steps.
        steps: how many steps that is the mean of.
    """

    start_up: float
    per_step: float
    steps: int


class PaceRecord:
    """Collects the times at which steps are seen and writes them once, at the end.

    Args:
        path: `attempts/<n>/pace.json`.
        begun: monotonic seconds of the attempt's start.
    """

    def __init__(self, path: Path, begun: float) -> None:
        self._path = path
        self._begun = begun
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    def seen(self, step: int, at: float) -> None:
        """Note that `step` has been logged by now (monotonic seconds)."""
        self._last = (step, at - self._begun)
        self._first = self._first or self._last

    def write(self) -> None:
        """Write `pace.json`; nothing where no step was seen.

        Raises:
            LedgerError: the file system refuses.
        """
        if self._first is None or self._last is None:
            return
        seen = {
            name: {"step": step, "after": round(after, 3)}
            for name, (step, after) in (("first", self._first), ("last", self._last))
        }
        write_json(self._path, PACE.stamped(seen), durable=False)


def read_pace(attempt_dir: Path) -> Pace | None:
    """The pace of an ended attempt; None where fewer than two looks saw different steps.

    Raises:
        LedgerError: another version wrote it, or the file system does not give it.
    """
    data = PACE.load(attempt_dir / PACE_FILE)
    try:
        first, last = data["first"], data["last"]  # type: ignore[index]
        steps = int(last["step"]) - int(first["step"])
        per_step = (float(last["after"]) - float(first["after"])) / steps
        return Pace(float(first["after"]), per_step, steps) if steps > 0 and per_step >= 0 else None
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
