"""GDPO (arXiv 2601.05242): each part of the reward is normalised in its group before they are added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transfer_queue import KVBatchMeta

from toolrl_cli.training.replay_buffer import numbers_of, prompt_of
from toolrl_cli.training.trainers.own_trainer import OwnTrainer

EPSILON = 1e-6


class GdpoTrainer(OwnTrainer):
    """Advantages of GDPO.

    `trainer.toolrl.{parts,weights}` replace the weights that parts have in the reward.
    """

    def advantages(
        self, batch: KVBatchMeta, rewards: torch.Tensor, mask: torch.Tensor, metrics: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `OwnTrainer`; the parts are those of the reward manager, by the names of the components."""
        own = self.config.trainer.toolrl
        given = dict(zip(own.get("parts") or (), own.get("weights") or (), strict=True))
        real = [not tag.get("is_padding", False) for tag in batch.tags]
        keys = [key for key, counts in zip(batch.keys, real, strict=True) if counts]
        numbers = numbers_of(keys, batch.partition_id)
        scores = torch.zeros(len(batch.keys), dtype=torch.float32)
        scores[torch.tensor(real)] = decoupled(
            [prompt_of(key) for key in keys],
            numbers,
            given,
            by_std=bool(self.config.algorithm.norm_adv_by_std_in_grpo),
        )
        found = scores.unsqueeze(-1) * mask
        return found, found


def decoupled(
    prompts: Sequence[str],
    numbers: Sequence[Mapping[str, float]],
    weights: Mapping[str, float],
    *,
    by_std: bool = True,
) -> torch.Tensor:
    """The advantage of each response: Σ weight · normalised part, normalised over the step.

    A part is normalised by mean and (unbiased) standard deviation of its group, the sum by those of the step.

    Args:
        prompts: of each response, the prompt that it answers.
        numbers: of each response, `sample_numbers`.
        weights: part → weight, for parts that do not have the weight of the reward.
        by_std: whether parts are divided by their standard deviation.

    Returns:
        (responses), float32.
    """
    parts = [key.removesuffix("/raw") for key in numbers[0] if key.endswith("/raw")]
    place = {prompt: group for group, prompt in enumerate(dict.fromkeys(prompts))}
    groups = torch.tensor([place[prompt] for prompt in prompts])
    total = torch.zeros(len(prompts), dtype=torch.float64)
    for part in parts:
        raw = torch.tensor([row[f"{part}/raw"] for row in numbers], dtype=torch.float64)
        weight = torch.tensor(
            [weights.get(part, row[f"{part}/weight"]) for row in numbers], dtype=torch.float64
        )
        total += weight * _within(groups, raw, by_std)
    spread = total.std() if len(total) > 1 else torch.tensor(0.0)
    return ((total - total.mean()) / (spread + EPSILON)).float()


def _within(groups: torch.Tensor, values: torch.Tensor, by_std: bool) -> torch.Tensor:
    """Values minus the mean of their group, over its standard deviation."""
    found = torch.zeros_like(values)
    for group in groups.unique():
        here = groups == group
        own = values[here]
        if len(own) > 1 and own.max() != own.min():  # a sum of equal numbers may round
            found[here] = (own - own.mean()) / (own.std() + EPSILON if by_std else 1.0)
    return found
