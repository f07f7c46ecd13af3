"""verl's reward manager for toolrl's rewards.

Configuration under `reward.toolrl` (keys that verl does not have, so they are given with `+`): `spec`, a JSON file
with the argument of `get_reward`; `total_steps`, length of the run in steps; `failure_file`, the file in which a
failure is saved (see `ScoringFailure`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from toolrl_cli.errors import StageError
from toolrl_cli.rewards import RewardError, Score, get_reward
from toolrl_cli.rewards.reading import row_facts
from toolrl_cli.training.plugin import require_plugin
from toolrl_cli.training.reward_metrics import sample_numbers
from toolrl_cli.training.rollout.stop_tokens import end_of_turn_ids
from toolrl_cli.training.scoring_failure import ScoringFailure


class ToolrlRewardManager(RewardManagerBase):
    """Scores a response with the reward in `reward.toolrl.spec`, at its training step.

    A fault of the scorer is saved and raised, and never becomes a low score: verl marks the sample's group as failed,
    and `TrainingReplayBuffer` stops the run.

    Raises:
        StageError: the configuration has no reward, or its specification cannot be read.
    """

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any = None, **_: Any) -> None:
        super().__init__(config, tokenizer, compute_score)
        require_plugin()
        settings = config.reward.get("toolrl")
        if not settings or not settings.get("spec"):
            raise StageError("reward.toolrl.spec is not set", "reward manager", failure_class="config")
        self._reward = _read_reward(Path(settings.spec))
        steps = settings.get("total_steps") or config.trainer.get("total_training_steps")
        self._total_steps = int(steps) if steps else None
        failure_file = settings.get("failure_file")
        self._failure_file = Path(failure_file) if failure_file else None
        self._stop_ids = end_of_turn_ids(tokenizer, _generation_config(config))

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Score the last response of a trajectory.

        Args:
            data: `responses` and `attention_mask` tensors, and in `non_tensor_batch` the row's
                `reward_model.ground_truth`, `data_source`, `extra_info`, `raw_prompt` and the training step
                `global_steps`.

        Returns:
            `reward_score`, and `reward_extra_info` with the result of `sample_numbers`.

        Raises:
            RewardError: the scorer failed; the completion is in `reward.toolrl.failure_file`.
        """
        item = data[-1]
        responses = item.batch["responses"]
        tokens = int(item.batch["attention_mask"][-responses.shape[-1] :].sum())
        completion = self._completion(responses[:tokens].tolist())
        fields = item.non_tensor_batch
        ground_truth = str(fields["reward_model"]["ground_truth"])
        step = int(fields["global_steps"])
        row = row_facts(fields)
        try:
            score = self._score(completion, ground_truth, step, tokens, row)
        except Exception as error:
            if self._failure_file is not None:
                ScoringFailure.of(error, completion, ground_truth, step, self._total_steps, tokens, row).save(
                    self._failure_file
                )
            raise
        return {"reward_score": score.total, "reward_extra_info": sample_numbers(score)}

    def _score(
        self, completion: str, ground_truth: str, step: int, tokens: int, row: Mapping[str, Any]
    ) -> Score:
        score = self._reward.score(completion, ground_truth, step, self._total_steps, tokens, row)
        if not math.isfinite(score.total):
            raise RewardError(
                f"the total is {score.total}",
                "reward",
                completion=completion,
                ground_truth=ground_truth,
                step=step,
            )
        return score

    def _completion(self, ids: list[int]) -> str:
        """Text of the response up to its end-of-turn token, including tags that are special tokens."""
        end = next((index for index, token in enumerate(ids) if token in self._stop_ids), len(ids))
        return str(self.tokenizer.decode(ids[:end], skip_special_tokens=False))


def _read_reward(path: Path) -> Any:
    try:
        return get_reward(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StageError(str(error), f"reward.toolrl.spec={path}", failure_class="config") from error
    except RewardError as error:
        raise StageError(str(error), str(path), failure_class="config") from error


def _generation_config(config: Any) -> Any:
    """Generation configuration of the policy; None if the model has none."""
    from verl.utils.fs import copy_to_local
    from verl.utils.model import get_generation_config

    model = config.actor_rollout_ref.model
    return get_generation_config(
        copy_to_local(model.path), trust_remote_code=bool(model.get("trust_remote_code", False))
    )
