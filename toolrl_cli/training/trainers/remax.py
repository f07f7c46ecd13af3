"""ReMax (arXiv 2310.10505): the reward of one greedy response to the prompt is the baseline of the others."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import torch
import transfer_queue as tq
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.core_algos import compute_remax_outcome_advantage
from verl.utils import tensordict_utils as tu

from toolrl_cli.training.replay_buffer import TrainingReplayBuffer, numbers_of, prompt_of
from toolrl_cli.training.reward_metrics import TOTAL
from toolrl_cli.training.trainers.own_trainer import OwnTrainer

GREEDY = "-greedy"
"""Behind a prompt's id, the id of the same prompt that is answered greedily."""


class BaselineBuffer(TrainingReplayBuffer):
    """The sampler of ReMax: a prompt is ready when its greedy twin is, which only leaves its reward here.

    Attributes:
        baselines: prompt of the last batch → reward of its greedy response.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.baselines: dict[str, float] = {}
        self._greedy_done: set[str] = set()

    def _sync_metadata_from_transfer_queue(self) -> None:
        super()._sync_metadata_from_transfer_queue()
        done = self.finished_keys["train"]
        self._greedy_done = {uid for uid in done if uid.endswith(GREEDY)}
        for uids in (done, self.pending_keys["train"], self.running_keys["train"]):
            uids.difference_update([uid for uid in uids if uid.endswith(GREEDY)])

    def _sampleable_terminal_keys(self, partition_id: str, eviction_reasons: Any) -> set[str]:
        ready = super()._sampleable_terminal_keys(partition_id, eviction_reasons)
        return ready if partition_id == "val" else {u for u in ready if f"{u}{GREEDY}" in self._greedy_done}

    def _materialize_batch(
        self,
        partition_id: str,
        selected_prompt_uids: list[str],
        partition_snapshot: dict[str, dict[str, Any]],
    ) -> Any:
        batch = super()._materialize_batch(partition_id, selected_prompt_uids, partition_snapshot)
        if partition_id == "train":
            twins = {f"{uid}{GREEDY}": uid for uid in selected_prompt_uids}
            keys = [key for key in partition_snapshot if prompt_of(key) in twins]
            rewards = (numbers[TOTAL] for numbers in numbers_of(keys, partition_id))
            self.baselines = {twins[prompt_of(key)]: r for key, r in zip(keys, rewards, strict=True)}
            tq.kv_clear(partition_id=partition_id, keys=[*twins, *keys])
        return batch


class RemaxTrainer(OwnTrainer):
    """Generates a greedy response to each prompt beside the others, and has its reward as the baseline."""

    replay_buffer: BaselineBuffer

    def _submit_batch_to_rollout(self, batch: TensorDict) -> int:
        greedy = batch.clone()  # verl's agent loops take fields out of what they are given
        tu.assign_non_tensor_stack(greedy, "uid", [f"{uid}{GREEDY}" for uid in batch["uid"]])
        tu.assign_non_tensor_data(greedy, "__rollout_n__", 1)
        tu.assign_non_tensor_data(greedy, "__do_sample__", False)
        prompts: int = super()._submit_batch_to_rollout(batch)
        super()._submit_batch_to_rollout(greedy)
        return prompts

    def advantages(
        self, batch: KVBatchMeta, rewards: torch.Tensor, mask: torch.Tensor, metrics: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `OwnTrainer`."""
        known = self.replay_buffer.baselines
        metrics["training/remax/baseline/mean"] = fmean(known.values())
        baselines = torch.tensor([known.get(prompt_of(key), 0.0) for key in batch.keys], dtype=rewards.dtype)
        found: tuple[torch.Tensor, torch.Tensor] = compute_remax_outcome_advantage(
            token_level_rewards=rewards, reward_baselines=baselines, response_mask=mask
        )
        return found
