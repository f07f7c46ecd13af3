"""What one run is: typed, frozen and validated. Every field is reached by a dotted key in a sweep file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from toolrl_cli.spec.algorithms.algorithm import AlgorithmName
from toolrl_cli.spec.run.data_settings import DATA_KINDS, DataSpec
from toolrl_cli.spec.run.evaluation_settings import EvaluateSpec, OverSteps, OwnEvaluation
from toolrl_cli.spec.run.frozen import Frozen, Number, Positive, Precision, Whole
from toolrl_cli.spec.run.model_settings import EndpointModel, HuggingFaceModel, ModelSpec, TinyModel
from toolrl_cli.spec.run.training_settings import LoraSpec, RlSpec, SftSpec

KINDS: Mapping[Any, type[Frozen]] = {
    **DATA_KINDS,
    "tiny": TinyModel,
    "huggingface": HuggingFaceModel,
    "endpoint": EndpointModel,
}
"""Kind → what it has, of the blocks that come in several kinds."""


class VerlOptions(Frozen):
    """verl's own options, passed through as they are: dotted key → value."""

    sft: dict[str, Any] = Field({})
    rl: dict[str, Any] = Field({})


class Resources(Frozen):
    """Where and on how much a stage runs. Never part of a stage's identity."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    gpus: Positive = Field(
        1, description="GPUs (or, on CPU, ranks) of a training stage, on each of its nodes"
    )
    nodes: Positive = Field(
        1, description="machines of a training stage, each with `gpus`; a cluster's launcher gives them"
    )
    rollout: Literal["auto", "transformers", "vllm"] = "auto"
    gpu_memory_utilization: Annotated[Number, Field(gt=0, lt=1)] = 0.6
    gpu_memory: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="GiB of one GPU that it is meant for, for plans made where there is none"
    )
    offload: Literal["auto", "never", "idle", "always"] = Field(
        "never",
        description="keep weights and moments in the host's memory, on CUDA: idle: while another network works; "
        "always: FSDP2's policy (slower updates, hardly any GPU memory); auto: idle, or always where the stage "
        "would not fit into gpu_memory by arithmetic",
    )
    memory: Annotated[Number, Field(gt=0)] | None = Field(
        None,
        description="GiB of each of its machines that a training stage takes at its peak, where that is known better "
        "than by arithmetic, which takes every row to be as long as the limits allow",
    )
    hang_minutes: Annotated[Number, Field(gt=0)] = Field(
        30.0, description="a stage without a step for so long hangs; the first step has at least 30 minutes"
    )
    priority: Whole = Field(0, description="of two stages that could start, the higher number does")

    @property
    def ranks(self) -> int:
        """GPUs (or processes on CPUs) of a training stage on all of its nodes together."""
        return self.gpus * self.nodes


class RunSpec(Frozen):
    """One arm with one seed, fully resolved."""

    model: ModelSpec
    data: DataSpec
    train: tuple[str, ...] = Field(("rl",), description="[]: raw model; [rl]: cold start")
    stages: dict[str, dict[str, Any]] = Field(
        {}, description="settings of kinds of training that other distributions add: kind → settings"
    )
    algorithm: AlgorithmName = Field("grpo", description="of RL; it brings `rl.*` settings of its own")
    reward: dict[str, Any] = Field(description="a name or a composition; canonical after validation")
    sft: SftSpec = SftSpec()
    rl: RlSpec = RlSpec()
    lora: LoraSpec | None = Field(None, description="adapters for SFT and RL; null: all weights are trained")
    checkpoint: Literal["last", "best"] = Field(
        "last", description="of RL, what is exported: the last one, or the best by validation among the saved"
    )
    evaluate: tuple[str | OverSteps | OwnEvaluation, ...] = ()
    evaluation: EvaluateSpec = EvaluateSpec()
    precision: Precision = "bf16"
    seed: Whole = Field(1, ge=0, lt=2**31)
    rehearsal: bool = Field(
        False, description="of --profile rehearsal: results that mean nothing, under ids of their own"
    )
    verl: VerlOptions = VerlOptions()
    resources: Resources = Resources()

    @field_validator("stages")
    @classmethod
    def _settings_are_read(cls, stages: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for kind, given in stages.items():
            _check_kind_settings(kind, given)
        return stages

    @field_validator("train")
    @classmethod
    def _train_order(cls, train: tuple[str, ...]) -> tuple[str, ...]:
        for name in train:
            _check_training(name)
        if len(set(train)) != len(train) or train == ("rl", "sft"):
            raise ValueError(f"{list(train)} is no order of training; one of [], [sft], [rl], [sft, rl]")
        return train


def _check_kind_settings(kind: str, given: Mapping[str, Any]) -> None:
    from toolrl_cli.spec.stage_config import TrainingConfig
    from toolrl_cli.spec.suggest import hint_for

    _check_training(kind)
    if kind in RunSpec.model_fields:
        raise ValueError(f"settings of {kind!r} stand under `{kind}`, not under `stages.{kind}`")
    from toolrl_cli.spec.stage_kind import STAGE_KINDS

    known = set(STAGE_KINDS.get(kind).settings_type.model_fields) - set(TrainingConfig.model_fields)
    for key in given:
        if key not in known:
            raise ValueError(f"unknown key {key!r} of {kind!r}: {hint_for(key, known, 'keys')}")


def _check_training(name: str) -> None:
    # which kinds there are is found out where one is named: a kind of another distribution imports this module
    from toolrl_cli.spec.stage_kind import STAGE_KINDS
    from toolrl_cli.spec.suggest import hint_for

    known = [kind for kind, found in STAGE_KINDS.all().items() if found.make]
    if name not in known:
        raise ValueError(f"{name!r} is no kind of training: {hint_for(name, known, 'kinds')}")
