"""verl's reward manager for toolrl's rewards.

Configuration under `reward.toolrl` (keys that verl does not have, so they are given with `+`): `spec`, a JSON file
with the argument of `get_reward`; `total_steps`, length of the run in steps; `failure_file`, the file in which a
failure is saved (see `ScoringFailure`).
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from toolrl_cli.errors import StageError
from toolrl_cli.rewards import RewardError, Score, get_reward
from toolrl_cli.rewards.reading import row_facts
from toolrl_cli.training.plugin import require_plugin
from toolrl_cli.training.reward_metrics import sample_numbers
from toolrl_cli.training.rollout.stop_tokens import end_of_turn_ids
from toolrl_cli.training.scoring_failure import ScoringFailure

AGENT_LOOP = "actor_rollout_ref.rollout.agent.agent_loop_manager_class"


class Response(NamedTuple):
    """One response: what `Reward.score` is given, in its order but for the length of the run."""

    completion: str
    ground_truth: str
    step: int
    tokens: int
    row: Mapping[str, Any]


class Group:
    """Responses to one prompt that came in one call, and their scores or why there are none."""

    def __init__(self) -> None:
        self.responses: list[Response] = []
        self.scores: list[Score] = []
        self.fault: Exception | None = None


class ToolrlRewardManager(RewardManagerBase):
    """Scores a response with the reward in `reward.toolrl.spec`, at its training step.

    Where the reward takes groups, the responses to one prompt are scored together that verl passes on in one call:
    toolrl's agent loops pass on whole groups (`rollout.agent_loop`, `rollout.group_scoring`).

    A fault of the scorer is saved and raised, and never becomes a low score: verl marks the sample's group as failed,
    and `TrainingReplayBuffer` stops the run.

    Raises:
        StageError: the configuration has no reward, its specification cannot be read, or it takes groups and verl's
            own agent loop is chosen.
    """

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any = None, **_: Any) -> None:
        super().__init__(config, tokenizer, compute_score)
        require_plugin()
        settings = config.reward.get("toolrl")
        if not settings or not settings.get("spec"):
            raise StageError("reward.toolrl.spec is not set", "reward manager", failure_class="config")
        self._reward = _read_reward(Path(settings.spec))
        if self._reward.takes_groups and not OmegaConf.select(config, AGENT_LOOP):
            what = (
                "the reward takes all responses to a prompt together, and verl's agent loop scores each alone"
            )
            raise StageError(what, AGENT_LOOP, "name one of toolrl's", failure_class="config")
        steps = settings.get("total_steps") or config.trainer.get("total_training_steps")
        self._total_steps = int(steps) if steps else None
        failure_file = settings.get("failure_file")
        self._failure_file = Path(failure_file) if failure_file else None
        self._groups: dict[str, Group] = {}
        self._stop_ids = end_of_turn_ids(tokenizer, _generation_config(config))

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Score the last response of a trajectory.

        Args:
            data: `responses` and `attention_mask` tensors, and in `non_tensor_batch` the row's
                `reward_model.ground_truth`, `data_source`, `extra_info`, `raw_prompt`, the training step
                `global_steps`, and the prompt's `uid`.

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
        response = Response(completion, ground_truth, int(fields["global_steps"]), tokens, row_facts(fields))
        if self._reward.takes_groups:
            score = await self._scored_with_others(str(fields["uid"]), response)
        else:
            (score,) = self._scored([response])
        return {"reward_score": score.total, "reward_extra_info": sample_numbers(score)}

    async def _scored_with_others(self, uid: str, response: Response) -> Score:
        group = self._groups.setdefault(uid, Group())
        place = len(group.responses)
        group.responses.append(response)
        # verl has a task for each response of a call, and all of them come to here first
        await asyncio.sleep(0)
        if self._groups.get(uid) is group:
            del self._groups[uid]
            try:
                group.scores = self._scored(group.responses)
            except Exception as error:  # of all of them
                group.fault = error
        if group.fault is not None:
            raise group.fault
        return group.scores[place]

    def _scored(self, group: Sequence[Response]) -> list[Score]:
        _, ground_truth, step, _, row = group[0]
        texts, lengths = [one.completion for one in group], [one.tokens for one in group]
        place = 0
        try:
            found = self._reward.score_group(texts, ground_truth, step, self._total_steps, lengths, row)
            for place, score in enumerate(found):
                if not math.isfinite(score.total):
                    raise RewardError(f"the total is {score.total}", "reward", completion=texts[place])
        except Exception as error:
            failed = getattr(error, "completion", None)
            place = texts.index(failed) if failed in texts else place
            if self._failure_file is not None:
                others = [(one.completion, one.tokens) for one in group]
                completion, tokens = others.pop(place)
                known = (completion, ground_truth, step, self._total_steps, tokens, row, others, place)
                ScoringFailure.of(error, *known).save(self._failure_file)
            raise
        return found

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
