"""verl's replay buffer with shorter polling, samples in prompt order, reward curves, and no silent failures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import transfer_queue as tq
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from toolrl_cli.errors import StageError
from toolrl_cli.training.plugin import require_plugin
from toolrl_cli.training.reward_manager import ScoringFailure
from toolrl_cli.training.reward_metrics import training_metrics

logger = logging.getLogger(__name__)

#: Seconds between two looks at the queue. verl's 2 seconds are longer than a whole step of a tiny model.
POLL_SECONDS = 0.03


class TrainingReplayBuffer(ReplayBuffer):
    """The sampler of toolrl's RL stages (`trainer.v1.sampler.custom_sampler`).

    `trainer.v1.sampler.sampler_kwargs` may hold `poll_interval` (seconds) and `failure_file` (where the
    reward manager leaves a failure).

    When a sample cannot be generated or scored, verl continues with the rest of its group. Here a failed group ends
    the run, with the scorer's message if the scorer failed.

    verl returns samples in the order in which they were finished, so that a step's first mini-batches would have the
    short responses and its last the long ones. Here samples are in prompt order, with groups together, as in verl's
    trainers before the queue (and in the paper's).
    """

    def __init__(self, *args: Any, sampler_kwargs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        options = dict(sampler_kwargs or {})
        kwargs["poll_interval"] = float(options.get("poll_interval") or POLL_SECONDS)
        super().__init__(*args, sampler_kwargs=sampler_kwargs, **kwargs)
        require_plugin()
        failure_file = options.get("failure_file")
        self._failure_file = Path(failure_file) if failure_file else None

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """Wait for a batch and take it.

        Args:
            global_steps: the step that will train on the batch.
            partition_id: `train` or `val`.
            batch_size: number of prompts.

        Returns:
            verl's batch of keys, and metrics to log: verl's and, in training, the reward's curves.

        Raises:
            StageError: a sample could not be generated or scored.
        """
        batch, metrics = super().sample(global_steps, partition_id, batch_size)
        if partition_id == "train":
            metrics = {**metrics, **training_metrics(_reward_numbers(batch))}
        return batch, metrics

    def _materialize_batch(
        self,
        partition_id: str,
        selected_prompt_uids: list[str],
        partition_snapshot: dict[str, dict[str, Any]],
    ) -> Any:
        # prompts were put into the queue in the order of the data, which the queue keeps
        places = {uid: place for place, uid in enumerate(self.prompt_global_steps[partition_id])}
        ordered = {key: partition_snapshot[key] for key in sorted(partition_snapshot, key=_by_prompt(places))}
        return super()._materialize_batch(partition_id, selected_prompt_uids, ordered)

    def _sync_metadata_from_transfer_queue(self) -> None:
        super()._sync_metadata_from_transfer_queue()
        failed = sum(len(keys) for keys in self.failure_keys.values())
        if failed:
            raise self._failure(failed)

    def _failure(self, groups: int) -> StageError:
        cause = ScoringFailure.load(self._failure_file) if self._failure_file else None
        if cause is None:
            return StageError(
                f"generating or scoring the samples of {groups} prompt(s) failed",
                "rollout",
                "the cause is the 'Error in _run_prompt' above in the log",
            )
        logger.error("scoring failed\n%s", cause.traceback)
        return StageError(
            f"scoring a completion failed at step {cause.step}: {cause.error}",
            "reward",
            f"the completion is in {self._failure_file}",
            failure_class="reward",
        )


def _by_prompt(places: Mapping[str, int]) -> Callable[[str], tuple[int, int, int]]:
    """Sort key for verl's keys, `<prompt>_<sample>_<output>`."""

    def place(key: str) -> tuple[int, int, int]:
        uid, sample, output = key.rsplit("_", 2)
        return places.get(uid, len(places)), int(sample), int(output)

    return place


def _reward_numbers(batch: Any) -> list[dict[str, float]]:
    """What the reward manager returned for each sample of the batch."""
    keys = [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]
    data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=["extra_fields"])
    # which container holds non-tensor fields depends on the queue's backend
    samples = [getattr(item, "data", item) for item in data["extra_fields"]]
    return [fields["reward_extra_info"] for fields in samples if "reward_extra_info" in fields]
