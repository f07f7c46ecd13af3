"""Attention over a slotted key-value cache, plugged into Transformers through its attention interface.

Models pass every layer's query, key and value, and unknown keyword arguments of `forward`, to the attention
function that their configuration names. So one function serves every decoder whose model class supports attention
backends (Llama, Qwen2, Qwen3, Mistral …): it stores the new keys and values and attends to all stored ones.
Transformers' own cache and mask classes are not used.

Rows with the same prompt share its keys and values, which are stored once and read once for all of them. The
tokens that a row generates are in its own slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

#: Name under which the function is registered, used in the rollout's model configuration.
ATTENTION_NAME = "toolrl_slots"


@dataclass
class KVSlots:
    """Keys and values of all layers in slots of equal capacity.

    Used slots are 0 … n-1 without gaps, so a pass reads plain slices.

    Attributes:
        slots: number of slots.
        capacity: positions per slot.
        layers: for each layer, keys and values of shape (slots, kv heads, capacity, head size).
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

    def move(self, source: list[int], target: list[int], positions: int) -> None:
        """Copy the first `positions` entries of the `source` slots into the `target` slots."""
        for buffers in self.layers.values():
            for buffer in buffers:
                buffer[target, :, :positions] = buffer[source, :, :positions]

    def read(self, slot: int, positions: int) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
        """The first `positions` entries of a slot: for each layer, views of shape (kv heads, positions, head size)."""
        return {
            index: (keys[slot, :, :positions], values[slot, :, :positions])
            for index, (keys, values) in self.layers.items()
        }

    def write(
        self, slot: int, layers: Mapping[int, tuple[torch.Tensor, torch.Tensor]], positions: int
    ) -> None:
        """Copy the first `positions` entries of such `layers` into a slot."""
        for index, pair in layers.items():
            for buffer, part in zip(self.layers[index], pair, strict=True):
                buffer[slot, :, :positions] = part[:, :positions]

    def resize(self, slots: int, capacity: int, used: int) -> None:
        """Change the dimensions, keeping the first `used` slots, cut to the capacity.

        Buffers are replaced one at a time, so that no more than one of them exists twice.
        """
        positions = min(self.capacity, capacity)
        self.slots, self.capacity = slots, capacity
        for index in self.layers:
            for side in (0, 1):
                pair = list(self.layers[index])
                old = pair[side]
                new = old.new_zeros((slots, old.shape[1], capacity, old.shape[3]))
                new[:used, :, :positions] = old[:used, :, :positions]
                pair[side] = new
                self.layers[index] = (pair[0], pair[1])
                del old, pair


@dataclass(frozen=True)
class Prefill:
    """A forward pass over whole concatenated prompts, whose keys and values are stored in `slots`.

    Attributes:
        cache: the cache to store in.
        slots: (prompts,) slot of each prompt.
        lengths: (prompts,) tokens of each prompt.
    """

    cache: KVSlots
    slots: torch.Tensor
    lengths: torch.Tensor

    @cached_property
    def blocks(self) -> torch.Tensor:
        """(prompts, longest) index of the prompts' tokens in the pass; 0 after a prompt's end."""
        offset = torch.arange(int(self.lengths.max()), device=self.lengths.device)
        start = self.lengths.cumsum(0) - self.lengths
        return torch.where(offset < self.lengths.unsqueeze(1), start.unsqueeze(1) + offset, 0)

    @cached_property
    def filled(self) -> torch.Tensor:
        """(prompts, longest) whether an entry of `blocks` is a token."""
        offset = torch.arange(int(self.lengths.max()), device=self.lengths.device)
        return offset < self.lengths.unsqueeze(1)

    def split(self, packed: torch.Tensor) -> torch.Tensor:
        """(1, heads, tokens, size) as (prompts, heads, longest, size)."""
        return packed[0].transpose(0, 1)[self.blocks].transpose(1, 2)

    def join(self, blocks: torch.Tensor) -> torch.Tensor:
        """The inverse of `split`."""
        return blocks.transpose(1, 2)[self.filled].transpose(0, 1).unsqueeze(0)


@dataclass(frozen=True)
class Extend:
    """A forward pass over the concatenated ends of prompts whose beginnings are in their slots already.

    Attributes:
        cache: the cache to store in.
        slots: slot of each prompt.
        known: tokens of each prompt that are stored.
        lengths: tokens of each prompt in this pass.
    """

    cache: KVSlots
    slots: list[int]
    known: list[int]
    lengths: list[int]

    def mask(self, known: int, length: int, window: int | None, device: torch.device) -> torch.Tensor:
        """(length, known + length) positions that each token of a prompt's end sees."""
        of_query = torch.arange(known, known + length, device=device).unsqueeze(1)
        distance = of_query - torch.arange(known + length, device=device)
        return (distance >= 0) & (distance < window) if window is not None else distance >= 0


@dataclass(frozen=True)
class Decode:
    """A forward pass over the newest token of each live row; row r has slot r of `rows`.

    Attributes:
        prompts: keys and values of the prompts; group g has slot g.
        rows: generated tokens' keys and values.
        members: (groups, largest group) rows of each group, padded with row 0.
        group, place: (rows,) index of each row in `members`.
        prompt_lengths: (rows,) length of the row's prompt.
        generated: (rows,) number of stored tokens of the row, which is the position of the newest.
        prompt_span, row_span: length of the longest prompt, and of the longest row including its newest token.
    """

    prompts: KVSlots
    rows: KVSlots
    members: torch.Tensor
    group: torch.Tensor
    place: torch.Tensor
    prompt_lengths: torch.Tensor
    generated: torch.Tensor
    prompt_span: int
    row_span: int

    @cached_property
    def hidden(self) -> torch.Tensor:
        """(rows, 1, 1, prompt_span + row_span) positions that a row does not see, sliding window aside."""
        device = self.generated.device
        in_prompt = torch.arange(self.prompt_span, device=device) >= self.prompt_lengths.unsqueeze(1)
        in_row = torch.arange(self.row_span, device=device) > self.generated.unsqueeze(1)
        return torch.cat([in_prompt, in_row], dim=1)[:, None, None]

    def outside(self, window: int) -> torch.Tensor:
        """(rows, 1, 1, prompt_span + row_span) positions before a row's sliding window."""
        device = self.generated.device
        in_prompt = torch.arange(self.prompt_span, device=device).expand(len(self.group), -1)
        in_row = self.prompt_lengths.unsqueeze(1) + torch.arange(self.row_span, device=device)
        newest = (self.prompt_lengths + self.generated).unsqueeze(1)
        return (torch.cat([in_prompt, in_row], dim=1) <= newest - window)[:, None, None]

    def gather(self, of_rows: torch.Tensor) -> torch.Tensor:
        """(rows, kv heads, n, x) as (groups, kv heads, largest group · n, x)."""
        return of_rows[self.members].transpose(1, 2).flatten(2, 3)

    def scatter(self, of_groups: torch.Tensor) -> torch.Tensor:
        """The inverse of `gather`."""
        split = of_groups.unflatten(2, (self.members.shape[1], -1)).transpose(1, 2)
        return split[self.group, self.place]


def slot_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    toolrl_pass: Prefill | Extend | Decode | None = None,
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
        toolrl_pass: the current pass, passed through the model's `forward`.
        softcap, s_aux: must be None: capped scores and attention sinks are not supported.

    Returns:
        Output (batch, tokens, heads, head size) and None for the attention weights.

    Raises:
        ValueError: the model needs a feature that this attention does not have.
    """
    if toolrl_pass is None or any(extra is not None for extra in (attention_mask, softcap, s_aux)):
        raise ValueError(
            "the transformers rollout runs decoders without masks, score capping or sinks of their own; "
            f"{type(module).__name__} asked for more"
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if isinstance(toolrl_pass, Prefill):
        keys, values = toolrl_pass.cache.layer(module.layer_idx, key)
        query, key, value = (toolrl_pass.split(part) for part in (query, key, value))
        # padding after a shorter prompt is stored too, but never seen
        keys[toolrl_pass.slots, :, : key.shape[2]] = key
        values[toolrl_pass.slots, :, : key.shape[2]] = value
        output = toolrl_pass.join(_causal(query, key, value, scale, sliding_window))
    elif isinstance(toolrl_pass, Extend):
        output = _ends(module.layer_idx, query, key, value, toolrl_pass, scale, sliding_window)
    else:
        output = _newest(module.layer_idx, query, key, value, toolrl_pass, scale, sliding_window)
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


def _ends(
    layer: int,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    step: Extend,
    scale: float,
    window: int | None,
) -> torch.Tensor:
    keys, values = step.cache.layer(layer, key)
    outputs = []
    begin = 0
    for slot, known, length in zip(step.slots, step.known, step.lengths, strict=True):
        part, stored = slice(begin, begin + length), slice(known, known + length)
        begin += length
        keys[slot, :, stored] = key[0, :, part]
        values[slot, :, stored] = value[0, :, part]
        outputs.append(
            F.scaled_dot_product_attention(
                query[:, :, part],
                keys[slot : slot + 1, :, : stored.stop],
                values[slot : slot + 1, :, : stored.stop],
                attn_mask=step.mask(known, length, window, query.device),
                scale=scale,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        )
    return torch.cat(outputs, dim=2)


def _newest(
    layer: int,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    step: Decode,
    scale: float,
    window: int | None,
) -> torch.Tensor:
    rows, kv_heads, _, size = key.shape
    prompt_keys, prompt_values = step.prompts.layer(layer, key)
    keys, values = step.rows.layer(layer, key)
    index = step.generated.view(rows, 1, 1, 1).expand(rows, kv_heads, 1, size)
    keys[:rows].scatter_(2, index, key)
    values[:rows].scatter_(2, index, value)

    groups = len(step.members)
    # query heads that share a kv head are treated as query tokens of that head, so that the cache is not repeated
    own = (query * scale).reshape(rows, kv_heads, -1, size)
    seen_prompt = prompt_keys[:groups, :, : step.prompt_span].transpose(2, 3)
    to_prompt = step.scatter(step.gather(own) @ seen_prompt)
    to_row = own @ keys[:rows, :, : step.row_span].transpose(2, 3)
    scores = torch.cat([to_prompt, to_row], dim=-1).float().masked_fill_(step.hidden, -torch.inf)
    if window is not None and window < step.prompt_span + step.row_span:
        scores.masked_fill_(step.outside(window), -torch.inf)
    weights = scores.softmax(dim=-1).to(value.dtype)
    on_prompt, on_row = weights.split([step.prompt_span, step.row_span], dim=-1)
    output = step.scatter(step.gather(on_prompt) @ prompt_values[:groups, :, : step.prompt_span])
    output = output + on_row @ values[:rows, :, : step.row_span]
    return output.reshape(rows, -1, 1, size)


AttentionInterface.register(ATTENTION_NAME, slot_attention)
