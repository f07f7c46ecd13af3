"""Keys and values of sequences that have ended, for requests that begin as they did: the next turn of a dialogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

LEAST = 32
"""Tokens that two sequences must have in common for reuse to pay."""

Layers = dict[int, tuple[torch.Tensor, torch.Tensor]]
"""For each layer, keys and values of shape (kv heads, tokens, head size)."""


@dataclass(eq=False)
class Prefix:
    """A sequence that was read.

    Attributes:
        tokens: (n,) int64.
        layers: its keys and values.
    """

    tokens: np.ndarray
    layers: Layers

    @property
    def bytes(self) -> int:
        """Memory of its keys and values."""
        return sum(tensor.nbytes for pair in self.layers.values() for tensor in pair)


class PrefixStore:
    """Sequences by how they begin; what was used the longest ago goes first."""

    def __init__(self) -> None:
        self.bytes = 0
        self._kept: dict[int, Prefix] = {}  # by identity, the last used at the end
        self._by_start: dict[bytes, list[Prefix]] = {}

    def match(self, tokens: Sequence[int]) -> tuple[Prefix | None, int]:
        """The sequence with which most of the first tokens are in common, and how many; (None, 0) below `LEAST`."""
        asked = np.asarray(tokens, dtype=np.int64)
        best, most = None, LEAST - 1
        for prefix in self._by_start.get(_start(asked), ()):
            common = _common(prefix.tokens, asked)
            if common > most:
                best, most = prefix, common
        if best is None:
            return None, 0
        self._kept[id(best)] = self._kept.pop(id(best))
        return best, most

    def put(self, prefix: Prefix, limit: int) -> None:
        """Keep a sequence in place of those that it begins with, all together within `limit` bytes."""
        if len(prefix.tokens) < LEAST or prefix.bytes > limit:
            return
        for other in list(self._by_start.get(_start(prefix.tokens), ())):
            if _common(other.tokens, prefix.tokens) == len(other.tokens):
                self._remove(other)
        self.shrink(limit - prefix.bytes)
        self._kept[id(prefix)] = prefix
        self._by_start.setdefault(_start(prefix.tokens), []).append(prefix)
        self.bytes += prefix.bytes

    def shrink(self, limit: int) -> None:
        """Remove sequences until they take at most `limit` bytes."""
        while self._kept and self.bytes > limit:
            self._remove(next(iter(self._kept.values())))

    def _remove(self, prefix: Prefix) -> None:
        del self._kept[id(prefix)]
        start = _start(prefix.tokens)
        self._by_start[start] = [other for other in self._by_start[start] if other is not prefix]
        if not self._by_start[start]:
            del self._by_start[start]
        self.bytes -= prefix.bytes


def _start(tokens: np.ndarray) -> bytes:
    return tokens[:LEAST].tobytes()


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """Number of first tokens that are the same."""
    shorter = min(len(one), len(other))
    different = one[:shorter] != other[:shorter]
    return int(different.argmax()) if different.any() else shorter
