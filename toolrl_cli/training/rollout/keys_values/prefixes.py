"""Keys and values of sequences that have ended, for requests that begin as they did: the next turn of a dialogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from toolrl_cli.training.rollout.batch_rows import Prompt

LEAST = 32
"""Tokens that two sequences must have in common for reuse to pay …"""
PART = 8
"""… and of a prompt at least one in so many: what reads its end only is a little slower a token."""

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

    def match(self, asked: np.ndarray) -> tuple[Prefix | None, int]:
        """The sequence that has most first tokens in common with these, and how many; (None, 0) below `LEAST`."""
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


@dataclass(frozen=True)
class Reading:
    """How a prompt is read: its first `known` tokens are taken from `source`, if there is one."""

    prompt: Prompt
    source: Prefix | Prompt | None = None
    known: int = 0


def readings(new: Sequence[Prompt], stored: Sequence[Prompt], kept: PrefixStore) -> list[list[Reading]]:
    """How new prompts are read, in waves: what one takes from another new one is read in an earlier wave.

    Args:
        new: prompts to read.
        stored: prompts whose keys and values are in their slots.
        kept: sequences that have ended.
    """
    by_start: dict[bytes, list[tuple[Prompt, np.ndarray, int]]] = {}

    def offer(prompt: Prompt, tokens: np.ndarray, wave: int) -> None:
        by_start.setdefault(_start(tokens), []).append((prompt, tokens, wave))

    for prompt in stored:
        offer(prompt, np.array(prompt.tokens, dtype=np.int64), -1)
    waves: list[list[Reading]] = []
    for prompt in new:
        tokens = np.array(prompt.tokens, dtype=np.int64)
        # the last token is read in any case, for what comes after it
        asked = tokens[:-1]
        source: Prefix | Prompt | None
        source, most = kept.match(asked)
        wave = 0
        for other, its, read_in in by_start.get(_start(tokens), ()):
            common = _common(its, asked)
            if common > most:
                source, most, wave = other, common, read_in + 1
        if most < max(LEAST, len(tokens) // PART):
            source, most, wave = None, 0, 0
        waves += [[] for _ in range(wave + 1 - len(waves))]
        waves[wave].append(Reading(prompt, source, most))
        offer(prompt, tokens, wave)
    return waves


def _start(tokens: np.ndarray) -> bytes:
    return tokens[:LEAST].tobytes()


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """Number of first tokens that are the same."""
    shorter = min(len(one), len(other))
    different = one[:shorter] != other[:shorter]
    return int(different.argmax()) if different.any() else shorter
