"""Settings of SFT and RL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from toolrl_cli.spec.run.frozen import Natural, Number, Positive, Rate, Share, StageSettings, Whole


class SftSpec(StageSettings):
    """Supervised fine-tuning with verl's SFT trainer (paper §4.1; settings of appendix B in the presets)."""

    TRANSPORT: ClassVar[frozenset[str]] = frozenset({"micro_batch_size", "save_every"})
    PERMISSIONS: ClassVar[frozenset[str]] = frozenset({"allow_cut_gold"})
    ADDED_LATER: ClassVar[Mapping[str, Any]] = {"val_share": 0.0}

    split: Literal["base", "sft", "train", "sft4k"] = Field(
        "sft", description="which split of the data to train on; sft4k: rows of your own, data.sft4k"
    )
    steps: Positive | None = Field(None, description="optimiser steps; None: as `epochs` says")
    epochs: Positive = 1
    batch_size: Positive = 16
    micro_batch_size: Positive = Field(
        1, description="sequences a device handles at once; does not change the result"
    )
    lr: Rate = 1e-5
    lr_schedule: Literal["constant", "cosine"] = "cosine"
    warmup: Share = Field(0.1, description="share of the steps over which the learning rate rises")
    weight_decay: Annotated[Number, Field(ge=0)] = 0.01
    grad_clip: Annotated[Number, Field(gt=0)] = 1.0
    max_length: Positive = Field(4096, description="tokens; longer rows are cut on the right")
    save_every: Positive | None = Field(None, description="steps between checkpoints; None: only at the end")
    val_share: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="share of the rows that are not trained on but serve for the validation loss"
    )
    allow_cut_gold: bool = Field(
        False, description="train although rows over max_length lose gold answers; does not change the result"
    )


LossAggregation = Literal[
    "token-mean", "token-sum", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"
]


class DynamicSampling(StageSettings):
    """Groups whose responses all earned the same are left out, and further prompts take their place (DAPO)."""

    PERMISSIONS: ClassVar[frozenset[str]] = frozenset({"max_refills"})

    metric: str = Field(
        "reward", description="what must differ: the whole reward, or one of its parts by name"
    )
    max_refills: Positive = Field(
        10, description="most prompts that take others' place in a step, in multiples of `prompts`"
    )


class RlSpec(StageSettings):
    """Reinforcement learning with verl (paper Tables 8 and 9)."""

    TRANSPORT: ClassVar[frozenset[str]] = frozenset(
        {"micro_batch", "micro_batch_tokens", "save_every", "keep_checkpoints"}
    )
    PERMISSIONS: ClassVar[frozenset[str]] = frozenset({"allow_cut_gold", "allow_imperfect_gold"})
    ADDED_LATER: ClassVar[Mapping[str, Any]] = {
        **dict.fromkeys(
            ("clip_ratio_low", "clip_ratio_high", "loss_agg", "dynamic_sampling", "gdpo_weights")
        ),
        "norm_by_std": True,
    }

    steps: Positive = 105
    prompts: Positive = Field(512, description="prompts a step")
    rollouts: Positive = Field(4, description="responses a prompt (the group of GRPO)")
    mini_batch: Positive = Field(128, description="prompts an optimiser step")
    micro_batch: Positive | None = Field(
        None, description="responses a device handles at once; None: by tokens. Does not change the result"
    )
    micro_batch_tokens: Positive = Field(
        16384, description="tokens a device handles at once where micro_batch is None"
    )
    updates: Positive = Field(1, description="passes over a step's responses (verl's ppo_epochs)")
    lr: Rate = 1e-6
    critic_lr: Rate = 1e-5
    critic_warmup: Natural = Field(
        0, description="the step from which the policy learns too; before it, only the critic"
    )
    warmup_steps: Natural = Field(0, description="steps over which the learning rates rise")
    weight_decay: Annotated[Number, Field(ge=0)] = 0.01
    grad_clip: Annotated[Number, Field(gt=0)] = 1.0
    clip_ratio: Rate = 0.2
    clip_ratio_low: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="how far below 1 the ratio is clipped; None: clip_ratio"
    )
    clip_ratio_high: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="how far above 1 the ratio is clipped; None: clip_ratio"
    )
    loss_agg: LossAggregation | None = Field(
        None, description="how a loss is made of those of the tokens (verl's loss_agg_mode); None: token-mean"
    )
    norm_by_std: bool = Field(True, description="divide advantages by the standard deviation of their group")
    entropy_coeff: Annotated[Number, Field(ge=0)] = 0.0
    gamma: Share = Field(1.0, description="discount (PPO)")
    gae_lambda: Share = Field(1.0, description="λ of generalised advantage estimation (PPO)")
    kl: Literal["none", "in_reward", "in_loss"] = "none"
    kl_coef: Annotated[Number, Field(ge=0)] = 0.001
    dynamic_sampling: DynamicSampling | None = Field(
        None, description="leave out groups whose responses all earned the same; None: train on all"
    )
    gdpo_weights: dict[str, Number] | None = Field(
        None, description="part of the reward → its weight in GDPO; for others their own in the reward"
    )
    temperature: Annotated[Number, Field(gt=0)] = 1.0
    top_p: Annotated[Number, Field(gt=0, le=1)] = 1.0
    top_k: Whole = Field(-1, description="-1: all tokens")
    max_prompt_length: Positive = 2048
    max_response_length: Positive = 1024
    truncation: Literal["left"] = Field(
        "left", description="of prompts that are too long; verl 0.9.1 cuts on the left and nowhere else"
    )
    save_every: Positive = 15
    validate_every: Positive = 5
    keep_checkpoints: Positive = Field(2, description="newest checkpoints to keep on disk")
    allow_cut_gold: bool = Field(
        False,
        description="train although gold answers are longer than max_response_length; does not change the result",
    )
    allow_imperfect_gold: bool = Field(
        False,
        description="train although gold answers score below their maximum; does not change the result",
    )

    def identity(self) -> dict[str, Any]:
        """See `StageSettings`."""
        sampling = {} if self.dynamic_sampling is None else self.dynamic_sampling.identity()
        return {**super().identity(), **({"dynamic_sampling": sampling} if sampling else {})}

    @model_validator(mode="after")
    def _batches_fit(self) -> RlSpec:
        if self.prompts % self.mini_batch:
            raise ValueError(f"prompts ({self.prompts}) must be a multiple of mini_batch ({self.mini_batch})")
        return self


class LoraSpec(StageSettings):
    """Low-rank adapters: W + (alpha/rank)·B·A is trained in B and A alone, by SFT and by RL's policy."""

    rank: Annotated[Whole, Field(gt=0, le=512)] = Field(description="of B·A; vLLM takes up to 512")
    alpha: Positive = Field(16, description="the adapters' product is scaled by alpha/rank")
    target_modules: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "all-linear", description="names such as [q_proj, v_proj]; all-linear: all but the output head"
    )
    exclude_modules: tuple[str, ...] = Field((), description="names of modules that get no adapter")

    @field_validator("target_modules", "exclude_modules")
    @classmethod
    def _in_one_order(cls, names: Any) -> Any:
        return names if isinstance(names, str) else tuple(sorted(set(names)))
