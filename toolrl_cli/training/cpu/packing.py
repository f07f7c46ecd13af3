"""Batches without padding and without repeated prompts, for training on the CPU.

Without flash attention, verl's engine pads every sequence to the longest and computes logits at every token. The
samples of a GRPO group share their prompt, and only response tokens are scored. So this module runs a prompt once
per micro-batch, concatenates the tokens, and computes logits only where they are needed. The result is the same
up to rounding; 8 responses of 64 tokens to a prompt of 100 need less than half of the tokens and a third of the
logits.

Words: a *trunk* starts at position 0 (a prompt that several sequences share, or a whole sequence that shares
nothing); a *branch* is what one of several sequences adds to their trunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

#: Name under which the attention function is registered.
ATTENTION_NAME = "toolrl_packed"
#: Arguments with which some models ask for more than causal attention.
_UNUSUAL = ("sliding_window", "softcap", "s_aux")


@dataclass(frozen=True)
class PackedBatch:
    """A packed micro-batch: T packed tokens, of S tokens in all sequences together.

    Attributes:
        tokens, positions: (T,) ids and positions.
        trunks: (trunks, width) packed index of each trunk's tokens, 0 where a trunk is shorter.
        branches: (branches, width) the same for branches; no rows where nothing is shared.
        contexts: (branches, trunk width + branch width) packed index of what a branch can see.
        visible: (branches, branch width, trunk width + branch width) whether a token sees it.
        restore: (T,) index of each packed token in the flattened rows of `trunks` followed by `branches`.
        scored: (K,) packed index of the tokens whose successor is scored.
        labels: (K,) these successors.
        places: (K,) index of their scores among the S tokens.
        size: S.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    trunks: torch.Tensor
    branches: torch.Tensor
    contexts: torch.Tensor
    visible: torch.Tensor
    restore: torch.Tensor
    scored: torch.Tensor
    labels: torch.Tensor
    places: torch.Tensor
    size: int


def pack(
    sequences: Sequence[torch.Tensor], prompt_lengths: Sequence[int], scored: Sequence[torch.Tensor]
) -> PackedBatch:
    """Pack a micro-batch.

    Args:
        sequences: (length,) token ids of each sequence.
        prompt_lengths: number of leading tokens that other sequences may share, less than the length; 0 for none.
        scored: (number,) for each sequence the positions whose successor is scored, none before the last token of
            the prompt.
    """
    groups: dict[bytes | int, list[int]] = {}
    for index, (sequence, length) in enumerate(zip(sequences, prompt_lengths, strict=True)):
        key = sequence[:length].numpy().tobytes() if length else index
        groups.setdefault(key, []).append(index)

    pieces: list[torch.Tensor] = []
    positions: list[torch.Tensor] = []
    trunks: list[tuple[int, int]] = []
    branches: list[tuple[int, int, int]] = []  # trunk, start, length
    where: list[torch.Tensor] = [torch.empty(0)] * len(sequences)  # packed index of every token of a sequence
    total = 0
    for members in groups.values():
        shared = prompt_lengths[members[0]] if len(members) > 1 else len(sequences[members[0]])
        trunk = torch.arange(total, total + shared)
        trunks.append((total, shared))
        pieces.append(sequences[members[0]][:shared])
        positions.append(torch.arange(shared))
        total += shared
        for member in members:
            rest = len(sequences[member]) - shared
            where[member] = trunk
            if rest:
                branches.append((len(trunks) - 1, total, rest))
                pieces.append(sequences[member][shared:])
                positions.append(torch.arange(shared, shared + rest))
                where[member] = torch.cat([trunk, torch.arange(total, total + rest)])
                total += rest

    starts = torch.tensor([0, *(len(sequence) for sequence in sequences)]).cumsum(0)
    trunk_rows = _rows(trunks)
    branch_rows = _rows([(start, length) for _, start, length in branches])
    contexts, visible = _contexts(trunks, branches, trunk_rows, branch_rows)
    return PackedBatch(
        tokens=torch.cat(pieces),
        positions=torch.cat(positions),
        trunks=trunk_rows,
        branches=branch_rows,
        contexts=contexts,
        visible=visible,
        restore=_restore(trunks, branches, trunk_rows.shape, branch_rows.shape, total),
        scored=torch.cat([where[index][places] for index, places in enumerate(scored)]),
        labels=torch.cat([sequences[index][places + 1] for index, places in enumerate(scored)]),
        places=torch.cat([places + starts[index] for index, places in enumerate(scored)]),
        size=int(starts[-1]),
    )


def _rows(spans: Sequence[tuple[int, int]]) -> torch.Tensor:
    """(spans, longest) packed index of each span's tokens, 0 behind its end."""
    if not spans:
        return torch.empty((0, 0), dtype=torch.int64)
    start, length = torch.tensor(spans).unbind(1)
    offset = torch.arange(int(length.max()))
    return torch.where(offset < length.unsqueeze(1), start.unsqueeze(1) + offset, 0)


def _contexts(
    trunks: Sequence[tuple[int, int]],
    branches: Sequence[tuple[int, int, int]],
    trunk_rows: torch.Tensor,
    branch_rows: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    if not branches:
        return torch.empty((0, 0), dtype=torch.int64), torch.empty((0, 0, 0), dtype=torch.bool)
    of = torch.tensor([trunk for trunk, _, _ in branches])
    span = max(trunks[trunk][1] for trunk, _, _ in branches)
    lengths = torch.tensor([trunks[trunk][1] for trunk, _, _ in branches])
    width = branch_rows.shape[1]
    in_trunk = (torch.arange(span) < lengths.unsqueeze(1)).unsqueeze(1).expand(-1, width, -1)
    causal = torch.ones((width, width), dtype=torch.bool).tril().expand(len(branches), -1, -1)
    contexts = torch.cat([trunk_rows[of, :span], branch_rows], dim=1)
    return contexts, torch.cat([in_trunk, causal], dim=2)


def _restore(
    trunks: Sequence[tuple[int, int]],
    branches: Sequence[tuple[int, int, int]],
    trunk_shape: torch.Size,
    branch_shape: torch.Size,
    total: int,
) -> torch.Tensor:
    restore = torch.empty(total, dtype=torch.int64)
    for row, (start, length) in enumerate(trunks):
        first = row * trunk_shape[1]
        restore[start : start + length] = torch.arange(first, first + length)
    behind = trunk_shape[0] * trunk_shape[1]
    for row, (_, start, length) in enumerate(branches):
        first = behind + row * branch_shape[1]
        restore[start : start + length] = torch.arange(first, first + length)
    return restore


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    toolrl_batch: PackedBatch | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention of a packed batch; without a packed batch, Transformers' normal attention.

    Args:
        module: the attention layer.
        query: (1, heads, T, head size).
        key, value: (1, kv heads, T, head size).
        attention_mask: None for a packed batch.
        scaling: factor on the scores.
        toolrl_batch: passed through the model's `forward`.

    Returns:
        Output (1, T, heads, head size) and None for the attention weights.

    Raises:
        ValueError: the model needs more than causal attention.
    """
    unusual = {name for name in _UNUSUAL if kwargs.get(name) is not None}
    if toolrl_batch is not None and unusual:
        raise ValueError(
            f"{type(module).__name__} wants {', '.join(sorted(unusual))}, which packed batches lack"
        )
    if toolrl_batch is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    batch = toolrl_batch
    q, k, v = (part[0].transpose(0, 1) for part in (query, key, value))  # (T, heads, head size)
    trunk = _attend(q[batch.trunks], k[batch.trunks], v[batch.trunks], None, scaling)
    rows = [trunk.flatten(0, 1)]
    if len(batch.branches):
        branch = _attend(q[batch.branches], k[batch.contexts], v[batch.contexts], batch.visible, scaling)
        rows.append(branch.flatten(0, 1))
    return torch.cat(rows)[batch.restore].unsqueeze(0), None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    visible: torch.Tensor | None,
    scaling: float | None,
) -> torch.Tensor:
    """Attention with shapes (rows, tokens, heads, head size); causal where `visible` is None."""
    output = F.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=None if visible is None else visible.unsqueeze(1),
        is_causal=visible is None,
        scale=scaling,
        enable_gqa=query.shape[2] != key.shape[2],
    )
    return output.transpose(1, 2)


AttentionInterface.register(ATTENTION_NAME, packed_attention)
