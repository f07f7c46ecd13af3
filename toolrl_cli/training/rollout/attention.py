"""Attention over a slotted key-value cache, plugged into Transformers through its attention interface.

Models pass every layer's query, key and value, and unknown keyword arguments of `forward`, to the attention
function that their configuration names. So one function serves every decoder whose model class supports attention
backends (Llama, Qwen2, Qwen3, Mistral …): it stores the new keys and values and attends to all stored ones.
Transformers' own cache and mask classes are not used.

Rows with the same prompt share its keys and values, which are stored once and read once for all of them. The
tokens that a row generates are in its own slot.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

from toolrl_cli.training.rollout.passes import Decode, Extend, Prefill

#: Name under which the function is registered, used in the rollout's model configuration.
ATTENTION_NAME = "toolrl_slots"


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
