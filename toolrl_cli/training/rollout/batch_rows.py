"""The live rows of the engine: each is one object and one slot in several tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from toolrl_cli.training.rollout.sampling import SamplingParams


@dataclass(eq=False)
class Prompt:
    """A prompt with live rows; its keys and values are stored once for all of them.

    Attributes:
        tokens: its ids.
        slot: its slot in the prompts' cache.
        rows: number of its live rows.
        reused: tokens whose keys and values were taken from an earlier request.
        logits: (vocabulary,) after its last token.
    """

    tokens: tuple[int, ...]
    slot: int
    rows: int = 0
    reused: int = 0
    logits: torch.Tensor | None = field(default=None, repr=False)


@dataclass(eq=False)
class Row:
    """A request, waiting or live. The slot of a live row is its index in the engine's list.

    Attributes:
        request_id, tokens, params: of the request; `tokens` are the prompt's.
        uniforms: (max_tokens,) float32, the random number that decides each token.
        prompt: its prompt; None while it waits.
        watch, endless: see `GenerationEngine.add`.
    """

    request_id: str
    tokens: tuple[int, ...]
    params: SamplingParams
    uniforms: np.ndarray
    prompt: Prompt | None = None
    watch: Callable[[int], bool] | None = None
    endless: bool = False


@dataclass(frozen=True)
class Groups:
    """The live rows of each prompt.

    Attributes:
        members: (prompts, largest group) rows of each prompt, padded with row 0.
        group, place: (rows,) index of each row in `members`.
        lengths: (rows,) length of the row's prompt.
        span: length of the longest prompt.
        alone: whether row r is the only one of prompt r.
    """

    members: torch.Tensor
    group: torch.Tensor
    place: torch.Tensor
    lengths: torch.Tensor
    span: int
    alone: bool

    @classmethod
    def of(cls, rows: list[Row], prompts: list[Prompt], device: torch.device) -> Groups:
        """Group the live rows; `prompts` by slot."""
        members: list[list[int]] = [[] for _ in prompts]
        group, place = [], []
        for number, row in enumerate(rows):
            assert row.prompt is not None
            own = members[row.prompt.slot]
            group.append(row.prompt.slot)
            place.append(len(own))
            own.append(number)
        largest = max(map(len, members))
        lengths = [len(prompt.tokens) for prompt in prompts]

        def tensor(values: list[Any]) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.int64, device=device)

        return cls(
            members=tensor([own + [0] * (largest - len(own)) for own in members]),
            group=tensor(group),
            place=tensor(place),
            lengths=tensor([lengths[slot] for slot in group]),
            span=max(lengths),
            alone=group == list(range(len(prompts))),
        )


class RowState:
    """Tensors per slot besides the cache; row r of each belongs to slot r.

    Attributes:
        generated: number of sampled tokens. limit: most tokens to sample.
        newest: last token sampled. temperature, greedy, top_p, top_k: see `sample_rows`.
        uniforms, tokens, log_probs: (slots, capacity), by position in the response.
    """

    def __init__(self, slots: int, capacity: int, device: torch.device) -> None:
        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

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
        new = RowState(slots, capacity, self.generated.device)
        for name, old in vars(self).items():
            target = vars(new)[name][:rows]
            (target if old.ndim == 1 else target[:, : old.shape[1]])[...] = old[:rows]
        return new

    def move(self, source: list[int], target: list[int]) -> None:
        """Copy the `source` slots into the `target` slots."""
        for tensor in vars(self).values():
            tensor[target] = tensor[source]

    def enter(self, first: int, rows: list[Row]) -> None:
        """Fill the slots of new rows, from `first` on."""
        device = self.generated.device
        part = slice(first, first + len(rows))

        def put(target: torch.Tensor, values: list[Any]) -> None:
            target[part] = torch.tensor(values, dtype=target.dtype, device=device)

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
