"""How much memory keys and values take."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

STEP = 64
"""Slots have a multiple of so many positions."""


@dataclass(frozen=True)
class CacheSize:
    """The key-value cache of one model.

    Attributes:
        position: bytes of one token of one row.
        buffers: tensors that the cache is made of.
    """

    position: int
    buffers: int

    @classmethod
    def of(cls, model: torch.nn.Module) -> CacheSize:
        """The sizes of a model."""
        config = model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        buffers = 2 * config.num_hidden_layers
        return cls(buffers * heads * size * next(model.parameters()).element_size(), buffers)

    def needed(self, prompts: int, rows: int) -> int:
        """Bytes of caches of so many positions while one of their buffers exists twice, as when they grow."""
        return math.ceil((prompts + rows + max(prompts, rows) / self.buffers) * self.position)

    def alone(self, prompt: int, new: int) -> int:
        """Bytes that a prompt and an answer of so many tokens need, alone and at most."""
        return self.needed(rounded(prompt), rounded(new))

    def room_beside(self, prompt: int, limit: int) -> int:
        """Most tokens of an answer that fit into `limit` bytes beside a prompt of so many; 0 for none."""
        most = max(0, (limit // self.position - rounded(prompt)) // STEP * STEP)
        while most and self.alone(prompt, most) > limit:
            most -= STEP
        return most


def rounded(tokens: int) -> int:
    """Positions of a slot for so many tokens."""
    return -(-tokens // STEP) * STEP
