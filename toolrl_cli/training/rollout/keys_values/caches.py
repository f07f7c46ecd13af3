"""The engine's key-value caches under one limit of memory: which rows fit, growing and shrinking, what stays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from toolrl_cli.training.rollout.batch_rows import Prompt, Row
from toolrl_cli.training.rollout.keys_values.cache_size import CacheSize, rounded
from toolrl_cli.training.rollout.keys_values.kv_slots import KVSlots
from toolrl_cli.training.rollout.keys_values.prefixes import Prefix, PrefixStore

Dimensions = tuple[int, int]
"""Slots, and positions of each."""


class Caches:
    """Keys and values of live prompts, of what their rows have generated, and of sequences that have ended.

    Args:
        size: of a token of the model.
        limit: bytes of all, also while one grows.

    Attributes:
        prompts, rows: of the live ones.
        kept: what has ended, in the room that these leave.
    """

    def __init__(self, size: CacheSize, limit: int) -> None:
        self.prompts = KVSlots(0, 0)
        self.rows = KVSlots(0, 0)
        self.kept = PrefixStore()
        self._size, self._limit = size, limit

    def wanted(
        self, waiting: Iterable[Row], rows: Sequence[Row], prompts: Sequence[Prompt], most: int
    ) -> tuple[int, Dimensions, Dimensions]:
        """How many of the waiting rows can join, in order, and the dimensions that the two caches need then.

        Args:
            waiting: the rows.
            rows, prompts: the live ones.
            most: live rows; a single one fits always.
        """
        live = len(rows)
        known = {prompt.tokens for prompt in prompts}
        width = max((rounded(len(tokens)) for tokens in known), default=0)
        depth = max((rounded(row.params.max_tokens) for row in rows), default=0)
        joining = 0
        for row in waiting:
            more = len(known) + (row.tokens not in known)
            wide, deep = max(width, rounded(len(row.tokens))), max(depth, rounded(row.params.max_tokens))
            fits = self._fits(more * wide, (live + joining + 1) * deep)
            if live + joining and (not fits or live + joining >= most):
                break
            known.add(row.tokens)
            width, depth = wide, deep
            joining += 1
        return joining, (len(known), width), (live + joining, depth)

    def resize(self, prompts: Dimensions, rows: Dimensions, used: tuple[int, int]) -> bool:
        """Give the caches at least these dimensions.

        Args:
            prompts, rows: of each.
            used: slots of each whose content stays.

        Returns:
            Whether anything changed.
        """
        caches = (self.prompts, self.rows)
        wanted = [prompts, rows]
        # what is there already is kept, unless there is no room for it
        held = [
            (max(slots, cache.slots), cache.capacity) if capacity <= cache.capacity else (slots, capacity)
            for cache, (slots, capacity) in zip(caches, wanted, strict=True)
        ]
        if self._fits(*(slots * capacity for slots, capacity in held)):
            wanted = held
        self.kept.shrink(self._limit - self._size.needed(*(slots * width for slots, width in wanted)))
        changes = [
            (slots * capacity - cache.slots * cache.capacity, place, (slots, capacity))
            for place, (cache, (slots, capacity)) in enumerate(zip(caches, wanted, strict=True))
            if (slots, capacity) != (cache.slots, cache.capacity)
        ]
        for _, place, (slots, capacity) in sorted(changes):  # what gets smaller first
            caches[place].resize(slots, capacity, used[place])
        return bool(changes)

    def keep(self, prompt: Prompt, slot: int, generated: list[int]) -> None:
        """Keep a prompt and what the row in a slot generated after it, as far as there is room."""
        live = (cache.slots * cache.capacity for cache in (self.prompts, self.rows))
        room = self._limit - self._size.needed(*live)
        tokens = np.array([*prompt.tokens, *generated], dtype=np.int64)
        if len(tokens) * self._size.position > room:
            return
        read = self.prompts.read(prompt.slot, len(prompt.tokens))
        written = self.rows.read(slot, len(generated)) if generated else {}
        parts = {index: [pair, *([written[index]] if generated else [])] for index, pair in read.items()}
        layers = {
            index: (
                torch.cat([keys for keys, _ in pairs], dim=1),
                torch.cat([values for _, values in pairs], dim=1),
            )
            for index, pairs in parts.items()
        }
        self.kept.put(Prefix(tokens, layers), room)

    def _fits(self, prompt_positions: int, row_positions: int) -> bool:
        """Whether caches of so many positions stay below the limit while they grow."""
        return self._size.needed(prompt_positions, row_positions) <= self._limit
