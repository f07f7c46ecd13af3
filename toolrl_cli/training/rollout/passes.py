"""What one forward pass reads and stores: whole prompts, the ends of prompts, or the newest token of each row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from toolrl_cli.training.rollout.keys_values.kv_slots import KVSlots


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
        alone: whether row r is the only one of group r, so that nothing need be gathered.
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
    alone: bool = False

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
        return of_rows if self.alone else of_rows[self.members].transpose(1, 2).flatten(2, 3)

    def scatter(self, of_groups: torch.Tensor) -> torch.Tensor:
        """The inverse of `gather`."""
        if self.alone:
            return of_groups
        split = of_groups.unflatten(2, (self.members.shape[1], -1)).transpose(1, 2)
        return split[self.group, self.place]
