"""What an algorithm is: verl's options, settings that make it right, and the conditions under which it is that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

AlgorithmName = Literal[
    "grpo",
    "ppo",
    "rloo",
    "reinforce++",
    "reinforce++_baseline",
    "remax",
    "opo",
    "gpg",
    "grpo_passk",
    "gdpo",
    "dr_grpo",
    "dapo",
    "gspo",
    "cispo",
    "sapo",
    "gmpo",
    "clip_cov",
    "kl_cov",
    "dppo_tv",
    "dppo_kl",
    "dro",
]

ESTIMATOR = "algorithm.adv_estimator"
LOSS = "actor_rollout_ref.actor.policy_loss.loss_mode"
VANILLA = "vanilla"
"""verl's clipped loss of PPO, the default."""

_NORMED = ("grpo", "grpo_passk")
_UNCLIPPED = ("sapo", "gpg", "kl_cov", "dro")
_OWN_MEAN = ("sapo", "geo_mean")


@dataclass(frozen=True)
class Algorithm:
    """One algorithm.

    Attributes:
        name: as in `algorithm: NAME`.
        summary: in one line.
        source: the paper, with its arXiv number.
        estimator: verl's advantage estimator. Where `own_trainer` holds, toolrl's trainer replaces what it gives.
        loss: verl's policy loss.
        options: further options of verl, as the source has them; `verl.rl` of a sweep is stronger.
        settings: `rl.*` settings (without the prefix), stronger than a preset's and weaker than the sweep's own.
        only: `rl.*` setting → the values with which it is still this algorithm.
        critic: whether a value model is trained.
        groups: whether responses to one prompt are compared, so that there must be two or more.
        on_policy: whether there is exactly one update a step, over all its responses.
        whole_mini_batches: whether the loss depends on how a mini-batch is cut, which therefore must not be.
        within_rank: whether it depends on the share of a mini-batch that a GPU has.
        extra_responses: responses to each prompt that are generated beside `rl.rollouts`.
        own_trainer: whether toolrl's trainer computes its advantages.
        version: of toolrl's definition; a change of what is computed under the same options makes it larger.
    """

    name: AlgorithmName
    summary: str
    source: str
    estimator: str = "grpo"
    loss: str = VANILLA
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    critic: bool = False
    groups: bool = True
    on_policy: bool = False
    whole_mini_batches: bool = False
    within_rank: bool = False
    extra_responses: int = 0
    own_trainer: bool = False
    version: int = 1

    @property
    def verl_options(self) -> dict[str, Any]:
        """All options of verl that it sets; the default loss is left to verl."""
        loss = {} if self.loss == VANILLA else {LOSS: self.loss}
        return {ESTIMATOR: self.estimator, **loss, **self.options}

    @property
    def slug(self) -> str:
        """Its name in ids of stages."""
        return self.name.replace("+", "p")

    def definition(self) -> dict[str, Any]:
        """What of it is part of a stage's identity beside its name and its settings; empty for version 0.

        Version 0 is that of the algorithms that were there before definitions were part of an identity.
        """
        return {"options": self.verl_options, "version": self.version} if self.version else {}

    @property
    def unread(self) -> frozenset[str]:
        """`rl.*` settings that change nothing in it, among those of losses and advantages."""
        found = set()
        if self.estimator not in _NORMED or (self.own_trainer and self.name != "gdpo"):
            found.add("norm_by_std")
        if self.loss in _UNCLIPPED:
            found |= {"clip_ratio", "clip_ratio_low", "clip_ratio_high"}
        if self.loss in _OWN_MEAN:
            found.add("loss_agg")
        if self.name != "gdpo":
            found.add("gdpo_weights")
        return frozenset(found)
