"""verl's options of an algorithm and of the settings that losses and advantages have."""

from __future__ import annotations

from typing import Any

from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.kind_configs import RlConfig

_ACTOR = "actor_rollout_ref.actor"
_SAMPLER = "trainer.v1.sampler"
OWN = "trainer.toolrl"
"""Section of the options that toolrl's own trainers read."""


def algorithm_options(config: RlConfig) -> dict[str, Any]:
    """Dotted option → value.

    Args:
        config: of an `rl` stage.
    """
    rl, algorithm = config.rl, ALGORITHMS[config.algorithm]
    options: dict[str, Any] = algorithm.verl_options
    if rl.loss_agg is not None:
        options[f"{_ACTOR}.loss_agg_mode"] = rl.loss_agg
    if rl.loss_agg == "seq-mean-token-sum-norm":
        # verl's default is the longest response of the micro-batch, by which the cut changes the result
        options[f"{_ACTOR}.loss_scale_factor"] = rl.max_response_length
    if not rl.norm_by_std:
        options["algorithm.norm_adv_by_std_in_grpo"] = False
    sampling = rl.dynamic_sampling
    if sampling is not None:
        options |= {
            # verl passes none of it to a custom sampler; here it only has prompts fetched one by one
            "algorithm.filter_groups.enable": True,
            f"+{_SAMPLER}.sampler_kwargs.filter_groups_metric": sampling.metric,
            f"+{_SAMPLER}.sampler_kwargs.max_refills": sampling.max_refills,
            f"+{_SAMPLER}.sampler_kwargs.train_batch_size": rl.prompts,
        }
    if algorithm.own_trainer:
        options[f"+{OWN}.algorithm"] = algorithm.name
    if rl.gdpo_weights:
        options[f"+{OWN}.parts"] = list(rl.gdpo_weights)
        options[f"+{OWN}.weights"] = list(rl.gdpo_weights.values())
    if algorithm.extra_responses:
        options[f"{_SAMPLER}.custom_sampler.path"] = "pkg://toolrl_cli.training.trainers.remax"
        options[f"{_SAMPLER}.custom_sampler.name"] = "BaselineBuffer"
    return options
