"""verl's replay buffer with shorter polling, samples in prompt order, reward curves, and no silent failures.

With dynamic sampling it leaves out groups whose responses all earned the same, and has others take their place.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import transfer_queue as tq
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from toolrl_cli.errors import StageError
from toolrl_cli.training.plugin import require_plugin
from toolrl_cli.training.reward_metrics import TOTAL, training_metrics
from toolrl_cli.training.scoring_failure import ScoringFailure

logger = logging.getLogger(__name__)

#: Seconds between two looks at the queue. verl's 2 seconds are longer than a whole step of a tiny model.
POLL_SECONDS = 0.03
#: The metric of dynamic sampling that is the whole reward, as in `rl.dynamic_sampling.metric`.
REWARD = "reward"
#: Where verl logs what dynamic sampling did.
FILTERING = "training/filter_groups"


class TrainingReplayBuffer(ReplayBuffer):
    """The sampler of toolrl's RL stages (`trainer.v1.sampler.custom_sampler`).

    `trainer.v1.sampler.sampler_kwargs` may hold `poll_interval` (seconds) and `failure_file` (where the
    reward manager leaves a failure); and for dynamic sampling `filter_groups_metric` (`reward`, or a part of the
    reward), `max_refills` (multiples of a step's prompts) and `train_batch_size` (prompts).

    When a sample cannot be generated or scored, verl continues with the rest of its group. Here a failed group ends
    the run, with the scorer's message if the scorer failed.

    verl returns samples in the order in which they were finished, so that a step's first mini-batches would have the
    short responses and its last the long ones. Here samples are in prompt order, with groups together, as in verl's
    trainers before the queue (and in the paper's).

    verl finds groups alike by a standard deviation of 0, which rounding hides; it refills without end, as soon as a
    group is finished, and takes the groups of a step in an arbitrary order: which prompts are trained on depends on
    time. Here groups are alike if their most is their least; prompts that take others' place are generated when no
    other is under way, up to a bound; and a step has the first groups that differ, in the order of the data.
    """

    def __init__(self, *args: Any, sampler_kwargs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        options = dict(sampler_kwargs or {})
        kwargs["poll_interval"] = float(options.get("poll_interval") or POLL_SECONDS)
        if options.get("filter_groups_metric"):
            kwargs |= {key: options[key] for key in ("filter_groups_metric", "train_batch_size")}
            kwargs |= {"gen_batch_size": 1, "max_inflight_gen_batches": 1}
            self._refill, kwargs["refill_fn"] = kwargs["refill_fn"], self._counted_refill
            self._most_refills = int(options["max_refills"]) * int(options["train_batch_size"])
        super().__init__(*args, sampler_kwargs=sampler_kwargs, **kwargs)
        require_plugin()
        self._step = self._refilled = self._left_out = 0
        self._totals: list[float] = []  # of all samples of the step, those left out too
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
            StageError: a sample could not be generated or scored, or too many groups were left out.
        """
        self._step, self._refilled, self._left_out, self._totals = global_steps, 0, 0, []
        batch, metrics = super().sample(global_steps, partition_id, batch_size)
        if partition_id == "train":
            metrics = {**metrics, **_reward_curves(batch), **self._sampling_metrics()}
        return batch, metrics

    def _sampling_metrics(self) -> dict[str, float]:
        """What dynamic sampling left out; `reward/*` are means over the groups that were kept."""
        if self.filter_groups_metric is None:
            return {}
        return {
            f"{FILTERING}/evicted_samples": self._left_out,
            f"{FILTERING}/refilled_prompts": self._refilled,
            f"{FILTERING}/reward_of_all/mean": fmean(self._totals),
        }

    def _counted_refill(self, prompts: int) -> None:
        if self._under_way("train"):
            return  # verl asks for twice what was left out, so that what is under way may do
        if self._refilled >= self._most_refills:
            raise StageError(
                f"at step {self._step} all responses to {self._left_out} prompts earned the same "
                f"({self.filter_groups_metric}), and {self._refilled} others have taken their place already",
                "rl.dynamic_sampling",
                "raise rl.dynamic_sampling.max_refills, or start from a model whose answers differ: train [sft, rl]",
                failure_class="config",
            )
        self._refilled += prompts
        self._refill(prompts)

    def _under_way(self, partition_id: str) -> bool:
        return bool(self.pending_keys[partition_id] or self.running_keys[partition_id])

    def _sampleable_terminal_keys(self, partition_id: str, eviction_reasons: Any) -> set[str]:
        """verl's, once none is under way."""
        if partition_id != "val" and self.filter_groups_metric is not None and self._under_way(partition_id):
            return set()
        found: set[str] = super()._sampleable_terminal_keys(partition_id, eviction_reasons)
        return found

    def _dapo_filtered_keys(self, partition_id: str) -> tuple[set[str], Counter[float]]:
        """verl's: the finished groups that are left out, and how many of them earned what."""
        if partition_id == "val" or self.filter_groups_metric is None or self._under_way(partition_id):
            return set(), Counter()
        metric = TOTAL if self.filter_groups_metric == REWARD else f"{self.filter_groups_metric}/raw"
        finished = self.finished_keys[partition_id]
        known = self._dapo_classification_cache[partition_id]
        for uid in known.keys() - finished:
            del known[uid]
        new = finished - known.keys()
        keys = [key for key in self.partitions[partition_id] if prompt_of(key) in new]
        earned: dict[str, list[float]] = {uid: [] for uid in new}
        for key, numbers in zip(keys, numbers_of(keys, partition_id), strict=True):
            earned[prompt_of(key)].append(numbers[metric])
            self._totals.append(numbers[TOTAL])
        for uid, values in earned.items():
            known[uid] = values[0] if len(values) > 1 and max(values) == min(values) else None
            self._left_out += known[uid] is not None
        alike = {uid: value for uid, value in known.items() if value is not None}
        return set(alike), Counter(alike.values())

    def _select_prompt_uids(
        self, partition_id: str, sampleable_keys: set[str], batch_size: int
    ) -> tuple[list[str], dict[str, dict[str, Any]], dict[str, int]]:
        """verl's, with prompts of one step in the order of the data."""
        _, partition, steps = super()._select_prompt_uids(partition_id, sampleable_keys, batch_size)
        places = {uid: place for place, uid in enumerate(steps)}
        ordered = sorted(sampleable_keys, key=lambda uid: (steps[uid], places[uid]))
        return ordered[:batch_size], partition, steps

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


def prompt_of(key: str) -> str:
    """The prompt of one of verl's keys, `<prompt>_<sample>_<output>`."""
    return key.split("_", 1)[0]


def _reward_curves(batch: Any) -> dict[str, float]:
    """The curves of what the reward manager returned for the samples of the batch."""
    keys = [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]
    return training_metrics(numbers_of(keys, batch.partition_id), [prompt_of(key) for key in keys])


def numbers_of(keys: Iterable[str], partition_id: str) -> list[dict[str, float]]:
    """What the reward manager returned for samples, by their keys.

    Args:
        keys: of the queue.
        partition_id: `train` or `val`.
    """
    keys = list(keys)
    if not keys:
        return []
    data = tq.kv_batch_get(keys=keys, partition_id=partition_id, select_fields=["extra_fields"])
    # which container holds non-tensor fields depends on the queue's backend
    samples = [getattr(item, "data", item) for item in data["extra_fields"]]
    return [fields["reward_extra_info"] for fields in samples if "reward_extra_info" in fields]
