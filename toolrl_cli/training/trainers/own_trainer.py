"""What toolrl's trainers share: verl's step, with other advantages."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
import transfer_queue as tq
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.workers.utils.padding import response_to_nested


class OwnTrainer(PPOTrainerSync):  # type: ignore[misc]
    """verl's synchronous trainer, whose advantages are replaced by those of `advantages`.

    verl's pass comes first: it takes the KL penalty from the reward and corrects for the rollout's log-probs.
    """

    @abstractmethod
    def advantages(
        self, batch: KVBatchMeta, rewards: torch.Tensor, mask: torch.Tensor, metrics: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Advantages and returns, both (responses, longest response).

        Args:
            batch: the keys of the responses, in the order of the rows.
            rewards: of each token, the KL penalty taken off where it is in the reward; the same shape.
            mask: 1 for tokens of a response; the same shape.
            metrics: of the step, to add to.
        """

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        batch = super()._compute_advantage(batch, metrics)
        rewards = "token_level_rewards" if self.config.algorithm.use_kl_in_reward else "rm_scores"
        nested = tq.kv_batch_get(
            keys=batch.keys, partition_id=batch.partition_id, select_fields=["response_mask", rewards]
        )
        lengths = nested["response_mask"]
        data = nested.to_padded_tensor()
        found = self.advantages(batch, data[rewards], data["response_mask"].float(), metrics)
        fields = {
            name: response_to_nested(values, lengths)
            for name, values in zip(("advantages", "returns"), found, strict=True)
        }
        return tq.kv_batch_put(
            keys=batch.keys, partition_id=batch.partition_id, fields=TensorDict(fields, batch_size=len(batch))
        )
