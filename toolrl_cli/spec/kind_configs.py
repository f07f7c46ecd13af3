"""The settings of toolrl's own kinds of stages. Apart from the kinds, which an attempt reads without pydantic."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from toolrl_cli.spec.algorithms.algorithm import AlgorithmName
from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.run.data_settings import DataSpec, OwnData, RllaData, ToolWorldData
from toolrl_cli.spec.run.evaluation_settings import EvaluateSpec, OwnEvaluation
from toolrl_cli.spec.run.frozen import Precision
from toolrl_cli.spec.run.run_spec import Resources
from toolrl_cli.spec.run.training_settings import RlSpec, SftSpec
from toolrl_cli.spec.stage_config import (
    Amount,
    Change,
    ModelConfig,
    StageConfig,
    TrainingConfig,
    divided,
)


class SftConfig(TrainingConfig):
    """Of an `sft` stage.

    Attributes:
        sft: its settings.
        shuffle: what draws the order of the rows; None: they stand as in the split, and no seed changes the training.
    """

    sft: SftSpec
    shuffle: Literal["seed"] | None = None

    def amount(self, total_steps: int | None) -> Amount:
        return Amount(
            self.sft.split, total_steps or self._epoch_steps(), self.sft.batch_size, self.sft.max_length
        )

    def with_less_memory(self, message: str = "") -> Change | str:
        # a device is given no more, whatever is asked
        share = max(1, self.sft.batch_size // self.resources.ranks)
        return divided("sft.micro_batch_size", self.sft.micro_batch_size, "a shorter sft.max_length", share)

    @property
    def transport(self) -> dict[str, Any]:
        return self.sft.transport()

    @property
    def tokens_at_once(self) -> int:
        share = max(1, self.sft.batch_size // self.resources.ranks)
        return min(self.sft.micro_batch_size, share) * self.sft.max_length

    @property
    def save_every(self) -> int | None:
        return self.sft.save_every

    @property
    def kept_checkpoints(self) -> int:
        return 2 if self.sft.save_every else 1

    def _epoch_steps(self) -> int | None:
        """Steps of whole epochs, where the data's settings tell its rows; verl leaves out the last, short batch."""
        rows = None
        if isinstance(self.data, ToolWorldData):
            rows = getattr(self.data, self.sft.split)
        elif isinstance(self.data, (RllaData, OwnData)):
            rows = next((most for split, most in self.data.limit.items() if split == self.sft.split), None)
        return rows // self.sft.batch_size * self.sft.epochs or None if rows else None


LEAST_UTILIZATION, MOST_UTILIZATION, STEP = 0.2, 0.9, 0.1
"""Bounds of vLLM's share of a GPU's memory, and by how much it is changed."""

_VLLM_TOO_GREEDY = "less than desired GPU memory utilization"
_VLLM_TOO_MODEST = "No available memory for the cache blocks"


class RlConfig(TrainingConfig):
    """Of an `rl` stage; `reward` is canonical, as `toolrl_cli.rewards.get_reward` takes it."""

    algorithm: AlgorithmName
    reward: dict[str, Any]
    rl: RlSpec

    offload_while_idle: ClassVar[bool] = True

    def amount(self, total_steps: int | None) -> Amount:
        responses = self.rl.rollouts + ALGORITHMS[self.algorithm].extra_responses
        return Amount(self.algorithm, total_steps, self.rl.prompts * responses, self.longest)

    def with_less_memory(self, message: str = "") -> Change | str:
        """See `StageConfig`; vLLM's message says whether its share was too large or too small."""
        change = self._utilization(message)
        if change is not None:
            return change
        else_helps = "a shorter rl.max_response_length"
        if ALGORITHMS[self.algorithm].whole_mini_batches:
            return f"{self.algorithm} needs whole mini-batches; a smaller rl.mini_batch or {else_helps} helps"
        if self.rl.micro_batch is not None:
            return divided("rl.micro_batch", self.rl.micro_batch, else_helps)
        tokens = self.rl.micro_batch_tokens
        smaller = max(tokens // 2, self.longest)  # verl fails below one whole sequence
        if smaller >= tokens:
            return (
                f"the micro-batch is {tokens} tokens, one sequence, already; {else_helps} or more GPUs help"
            )
        return Change("rl.micro_batch_tokens", tokens, smaller, "micro-batch tokens")

    @property
    def longest(self) -> int:
        """Most tokens of a prompt with its response."""
        return self.rl.max_prompt_length + self.rl.max_response_length

    @property
    def transport(self) -> dict[str, Any]:
        return self.rl.transport()

    @property
    def networks(self) -> int:
        return 2 if ALGORITHMS[self.algorithm].critic else 1

    @property
    def tokens_at_once(self) -> int:
        if self.rl.micro_batch is not None:
            return self.rl.micro_batch * self.longest
        return self.rl.micro_batch_tokens

    @property
    def save_every(self) -> int | None:
        return self.rl.save_every

    @property
    def kept_checkpoints(self) -> int:
        return self.rl.keep_checkpoints

    @property
    def reference(self) -> bool:
        return self.rl.kl != "none" and self.lora is None  # with adapters it is the policy without them

    @property
    def entropy(self) -> bool:
        return bool(self.rl.entropy_coeff)

    def _utilization(self, message: str) -> Change | None:
        now = self.resources.gpu_memory_utilization
        if _VLLM_TOO_GREEDY in message:
            wanted = round(max(LEAST_UTILIZATION, now - STEP), 3)
        elif _VLLM_TOO_MODEST in message:
            wanted = round(min(MOST_UTILIZATION, now + STEP), 3)
        else:
            return None
        key, label = "resources.gpu_memory_utilization", "vLLM's share of GPU memory"
        return None if wanted == now else Change(key, now, wanted, label)


class ExportConfig(StageConfig):
    """Of an `export` stage.

    Attributes:
        checkpoint: which one: of the last step, the best by validation among those saved, or of `step`.
        source: kind of the stage that trained.
        dtype: of the exported weights: that of the training.
        save_every: steps between the checkpoints that the best is chosen from.
        step: of the checkpoint, where it is neither the last nor the best.
    """

    # it runs on whatever there is, and is as urgent as what reads it: nothing that a run asks for
    resources: Resources = Field(Resources(), exclude=True)
    checkpoint: Literal["last", "best", "step"] = "last"
    format: Literal["huggingface"] = "huggingface"
    source: str = "rl"
    dtype: Precision = "bf16"
    save_every: int | None = None
    step: int | None = None


class EvaluateConfig(ModelConfig):
    """Of an `evaluate` stage.

    Attributes:
        benchmark: its name.
        evaluation: how the model is asked.
        data: what the benchmark's items are made of, where it has such.
        protocol: of a benchmark that cannot be run here.
        own: an evaluation of the user's own, in place of a benchmark that toolrl knows.
    """

    benchmark: str
    evaluation: EvaluateSpec
    data: DataSpec | None = None
    protocol: str | None = None
    own: OwnEvaluation | None = None

    def amount(self, total_steps: int | None) -> Amount:
        items = self.data.benchmark if isinstance(self.data, ToolWorldData) else 1
        length = self.evaluation.max_prompt_length + self.evaluation.max_response_length
        return Amount(self.benchmark, None, items, length)

    def with_less_memory(self, message: str = "") -> Change | str:
        batch = self.evaluation.batch_size
        if batch > 1:
            return Change("evaluation.batch_size", batch, batch // 2, "batch")
        return "the batch is 1 already; a device with more memory helps"

    @property
    def transport(self) -> dict[str, Any]:
        return self.evaluation.transport()
