"""Attention over a slotted key-value cache, plugged into Transformers through its attention interface.

Models hand every layer's query, key and value to the attention function that their configuration names and
pass unknown keyword arguments of `forward` on to it. So one function here serves every decoder whose model
class supports attention backends (Llama, Qwen2, Qwen3, Mistral, Gemma …): it stores the new keys and values
and attends to what a row has stored. Transformers' own cache and mask classes take no part.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

#: Name under which the function is registered, and which the rollout's model configuration carries.
ATTENTION_NAME = "toolrl_slots"


@dataclass
class KVSlots:
    """Keys and values of the live rows: one slot per row, each row starting at position 0 of its slot.

    Live rows occupy slots 0 … n-1 without gaps, so a decoding step reads plain slices.

    Attributes:
        layers: per layer, keys and values of shape (slots, kv heads, capacity, head size).
        slots: rows that fit.
        capacity: positions per slot.
    """

    slots: int
    capacity: int
    layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def layer(self, index: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The buffers of a layer, allocated on first use with the heads, size, type and device of `like`."""
        if index not in self.layers:
            shape = (self.slots, like.shape[1], self.capacity, like.shape[3])
            self.layers[index] = (like.new_zeros(shape), like.new_zeros(shape))
        return self.layers[index]

    def move(self, source: torch.Tensor, target: torch.Tensor, positions: int) -> None:
        """Copy the first `positions` entries of the `source` slots into the `target` slots."""
        for buffers in self.layers.values():
            for buffer in buffers:
                buffer[target, :, :positions] = buffer[source, :, :positions]

    def resized(self, slots: int, capacity: int, rows: int, positions: int) -> KVSlots:
        """A copy with other dimensions that keeps the first `positions` entries of the first `rows` slots."""
        new = KVSlots(slots, capacity)
        for index, buffers in self.layers.items():
            copies = []
            for buffer in buffers:
                copy = buffer.new_zeros((slots, buffer.shape[1], capacity, buffer.shape[3]))
                copy[:rows, :, :positions] = buffer[:rows, :, :positions]
                copies.append(copy)
            new.layers[index] = (copies[0], copies[1])
        return new


@dataclass(frozen=True)
class Prefill:
    """A forward pass over whole prompts, right-padded; their keys and values are stored in `slots`.

    Padding needs no mask: it comes after the prompt, and a position is overwritten before it is first read.

    Attributes:
        cache: where to store.
        slots: (prompts,) int64, the slot of each prompt.
    """

    cache: KVSlots
    slots: torch.Tensor


@dataclass(frozen=True)
class Decode:
    """A forward pass over the newest token of each live row.

    Attributes:
        cache: where to store and read; rows are slots 0 … rows-1.
        lengths: (rows,) int64, tokens already stored, which is the new token's position.
        span: longest row including the new token.
    """

    cache: KVSlots
    lengths: torch.Tensor
    span: int


def slot_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    toolrl_pass: Prefill | Decode | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Store the new keys and values and attend causally.

    Args:
        module: the attention layer; `layer_idx` names its buffers.
        query: (batch, heads, tokens, head size).
        key, value: (batch, kv heads, tokens, head size).
        attention_mask: must be None, which is what Transformers passes for a registered backend.
        scaling: factor on the scores.
        sliding_window: positions a token sees, itself included, or None for all.
        toolrl_pass: the step that is running, handed through the model's `forward`.
        softcap, s_aux: must be None: capped scores and attention sinks are not supported.

    Returns:
        Output (batch, tokens, heads, head size) and None for the attention weights.

    Raises:
        ValueError: the model wants something this attention does not do.
    """
    if toolrl_pass is None or any(extra is not None for extra in (attention_mask, softcap, s_aux)):
        raise ValueError(
            "the transformers rollout runs decoders without masks, score capping or sinks of their own; "
            f"{type(module).__name__} asked for more"
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    keys, values = toolrl_pass.cache.layer(module.layer_idx, key)
    if isinstance(toolrl_pass, Prefill):
        tokens = key.shape[2]
        keys[toolrl_pass.slots, :, :tokens] = key
        values[toolrl_pass.slots, :, :tokens] = value
        output = _causal(query, key, value, scale, sliding_window)
    else:
        output = _newest(query, key, value, keys, values, toolrl_pass, scale, sliding_window)
    return output.transpose(1, 2).contiguous(), None


def _causal(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, window: int | None
) -> torch.Tensor:
    grouped = query.shape[1] != key.shape[1]
    tokens = query.shape[2]
    if window is None or window >= tokens:
        return F.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scale, enable_gqa=grouped
        )
    position = torch.arange(tokens, device=query.device)
    distance = position.unsqueeze(1) - position
    mask = (distance >= 0) & (distance < window)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=grouped)


def _newest(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    step: Decode,
    scale: float,
    window: int | None,
) -> torch.Tensor:
    rows, kv_heads, _, size = key.shape
    index = step.lengths.view(rows, 1, 1, 1).expand(rows, kv_heads, 1, size)
    keys[:rows].scatter_(2, index, key)
    values[:rows].scatter_(2, index, value)
    position = torch.arange(step.span, device=query.device)
    visible = position <= step.lengths.unsqueeze(1)
    if window is not None and window < step.span:
        visible &= position > step.lengths.unsqueeze(1) - window
    # the query heads that share a kv head become query tokens of that head: no copy of the cache is made
    grouped = query.reshape(rows, kv_heads, query.shape[1] // kv_heads, size)
    output = F.scaled_dot_product_attention(
        grouped,
        keys[:rows, :, : step.span],
        values[:rows, :, : step.span],
        attn_mask=visible.view(rows, 1, 1, step.span),
        scale=scale,
    )
    return output.reshape(rows, -1, 1, size)


AttentionInterface.register(ATTENTION_NAME, slot_attention)
