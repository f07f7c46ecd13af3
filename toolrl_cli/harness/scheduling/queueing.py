"""Which stage starts next, and on which slots."""

from __future__ import annotations

import heapq
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

OVERTAKEN = 8
"""So many smaller stages may start before one that waits for several slots; then slots are kept for it."""

ANY = sys.maxsize
"""Stands for as many as somebody wants."""

Rank = tuple[float, ...]
"""Sorts stages: lowest first."""


class Slots:
    """The launcher's slots and who is on them.

    Args:
        names: all slots; None where the launcher has a queue, which takes any number of attempts.
        most: most attempts at a time, or None.

    Attributes:
        elsewhere: slots that other harnesses are on, as far as was seen last → who.
    """

    def __init__(self, names: Sequence[str] | None, most: int | None = None) -> None:
        self._queued = names is None
        self._names = tuple(names or ())
        self._most = (ANY if self._queued else len(self._names)) if most is None else most
        self._used: Counter[str] = Counter()
        self._attempts = 0
        self.elsewhere: Mapping[str, str] = {}

    @property
    def idle(self) -> tuple[str, ...]:
        """Slots that another attempt of this harness could have now, if no other harness is on them."""
        if self._attempts >= self._most:
            return ()
        return tuple(name for name in self._names if self._used[name] == 0)

    @property
    def free(self) -> int:
        """Slots that another attempt could have now."""
        if self._queued:
            return ANY if self._attempts < self._most else 0
        return sum(name not in self.elsewhere for name in self.idle)

    def take(self, count: int) -> tuple[str, ...]:
        """Occupy `count` free slots; none by name where the launcher has a queue."""
        chosen = tuple(name for name in self.idle if name not in self.elsewhere)[:count]
        self.occupy(chosen)
        return chosen

    def occupy(self, names: Iterable[str]) -> None:
        """Note that an attempt is on these; they may be in use already, by an attempt of another harness.

        One on no slot of a launcher that has slots is somewhere else, and counts for nothing here.
        """
        taken = tuple(names)
        self._used.update(taken)
        self._attempts += self._queued or bool(taken)

    def release(self, names: Iterable[str]) -> None:
        """Note that it is gone."""
        left = tuple(names)
        self._used.subtract(left)
        self._attempts -= self._queued or bool(left)


class ReadyQueue:
    """Stages that could start: the best rank first, some of them not before a certain time."""

    def __init__(self) -> None:
        self._ready: list[tuple[Rank, str]] = []
        self._later: list[tuple[float, Rank, str]] = []
        self._overtaken: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._ready) + len(self._later)

    def push(self, stage_id: str, rank: Rank, not_before: float = 0.0) -> None:
        """Add a stage; `not_before` is in the time that `pop` is given."""
        heapq.heappush(self._later, (not_before, rank, stage_id))

    def pop(self, free: int, needs: Callable[[str], int], now: float) -> str | None:
        """The best stage that fits on `free` slots, or None.

        A stage that needs more than there are is passed over, but not for ever: once enough others have
        overtaken it, nothing starts until it fits.
        """
        self._fall_due(now)
        passed = []
        chosen = None
        while self._ready and free > 0 and chosen is None:
            rank, stage_id = self._ready[0]
            if needs(stage_id) <= free:
                chosen = stage_id
            elif self._overtaken[stage_id] >= OVERTAKEN:
                break
            else:
                passed.append((rank, stage_id))
            heapq.heappop(self._ready)
        for entry in passed:
            heapq.heappush(self._ready, entry)
            if chosen is not None:
                self._overtaken[entry[1]] += 1
        return chosen

    @property
    def waits(self) -> bool:
        """Whether a stage could start at once, had it the slots."""
        return bool(self._ready)

    def due(self) -> float | None:
        """When the next stage that has to wait may start; None when none has to."""
        return self._later[0][0] if self._later else None

    def _fall_due(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, rank, stage_id = heapq.heappop(self._later)
            heapq.heappush(self._ready, (rank, stage_id))
