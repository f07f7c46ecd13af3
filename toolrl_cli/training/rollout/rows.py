"""The live rows of the generator: one object and one slot of some tensors for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from toolrl_cli.training.rollout.sampling import SamplingParams


@dataclass(eq=False)
class Row:
    """A request on its way: where its slot is, and what its prompt predicts once it was run.

    Attributes:
        request_id, prompt, params: as asked for.
        uniforms: (max_tokens,) float32, the random number that decides each token.
        slot: of the cache; -1 while it waits.
        first_logits: (vocabulary,) after the prompt.
    """

    request_id: str
    prompt: tuple[int, ...]
    params: SamplingParams
    uniforms: np.ndarray
    slot: int = -1
    first_logits: torch.Tensor | None = field(default=None, repr=False)


class RowState:
    """Per-slot tensors beside the cache; row r of each belongs to slot r.

    Attributes:
        lengths: tokens in the cache. generated: tokens sampled. limit: tokens to sample at most.
        newest: last token sampled. temperature, greedy, top_p, top_k: see `sample_rows`.
        uniforms, tokens, log_probs: (slots, capacity), by position in the response.
    """

    def __init__(self, slots: int, capacity: int, device: torch.device) -> None:
        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.lengths = zeros(slots)
        self.generated = zeros(slots)
        self.limit = zeros(slots)
        self.newest = zeros(slots)
        self.top_k = zeros(slots)
        self.temperature = zeros(slots, dtype=torch.float32)
        self.top_p = zeros(slots, dtype=torch.float32)
        self.greedy = zeros(slots, dtype=torch.bool)
        self.uniforms = zeros(slots, capacity, dtype=torch.float32)
        self.tokens = zeros(slots, capacity)
        self.log_probs = zeros(slots, capacity, dtype=torch.float32)

    def resized(self, slots: int, capacity: int, rows: int) -> RowState:
        """A copy with other dimensions that keeps the first `rows` slots."""
        new = RowState(slots, capacity, self.lengths.device)
        for name, old in vars(self).items():
            target = vars(new)[name][:rows]
            (target if old.ndim == 1 else target[:, : old.shape[1]])[...] = old[:rows]
        return new

    def move(self, source: torch.Tensor, target: torch.Tensor) -> None:
        """Copy the `source` slots into the `target` slots."""
        for tensor in vars(self).values():
            tensor[target] = tensor[source]

    def enter(self, rows: list[Row]) -> None:
        """Fill the slots of rows that join; they are consecutive and the last ones."""
        device = self.lengths.device
        part = slice(rows[0].slot, rows[-1].slot + 1)

        def put(target: torch.Tensor, values: list[Any]) -> None:
            target[part] = torch.tensor(values, dtype=target.dtype, device=device)

        put(self.lengths, [len(row.prompt) for row in rows])
        put(self.limit, [row.params.max_tokens for row in rows])
        put(self.temperature, [row.params.temperature or 1.0 for row in rows])
        put(self.greedy, [row.params.greedy for row in rows])
        put(self.top_p, [row.params.top_p for row in rows])
        put(self.top_k, [row.params.top_k if row.params.top_k > 0 else 1 << 60 for row in rows])
        self.generated[part] = 0
        width = max(len(row.uniforms) for row in rows)
        uniforms = np.zeros((len(rows), width), dtype=np.float32)
        for index, row in enumerate(rows):
            uniforms[index, : len(row.uniforms)] = row.uniforms
        self.uniforms[part, :width] = torch.from_numpy(uniforms).to(device)
