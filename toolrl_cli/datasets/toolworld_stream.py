"""A random stream that yields the same draws in every Python version."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Stream:
    """Draws made from `random.Random.random()` alone, the one method whose sequence Python promises to keep.

    Args:
        name: purpose of the stream; equal names give equal draws.
    """

    def __init__(self, name: str) -> None:
        self._random = random.Random(int.from_bytes(hashlib.sha256(name.encode()).digest(), "big"))

    def below(self, bound: int) -> int:
        """An integer from 0 to `bound - 1`."""
        return int(self._random.random() * bound)

    def chance(self, probability: float) -> bool:
        """True with `probability`."""
        return self._random.random() < probability

    def pick(self, items: Sequence[T]) -> T:
        """One of `items`."""
        return items[self.below(len(items))]

    def weighted(self, items: Sequence[tuple[T, int]]) -> T:
        """One of (item, integer weight) pairs."""
        left = self.below(sum(weight for _, weight in items))
        for item, weight in items:
            left -= weight
            if left < 0:
                return item
        raise AssertionError("weights do not add up")  # pragma: no cover

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """`items` in random order."""
        pool = list(items)
        return [pool.pop(self.below(len(pool))) for _ in range(len(pool))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different members of `items`, in random order."""
        return self.shuffled(items)[:count]
