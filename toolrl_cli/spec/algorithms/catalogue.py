"""All algorithms, one object each. Imports nothing heavy: an attempt reads it at its start."""

from __future__ import annotations

from collections.abc import Mapping

from toolrl_cli.spec.algorithms.algorithm import Algorithm

_ACTOR = "actor_rollout_ref.actor"
_WITHOUT_KL = {"kl": "none", "entropy_coeff": 0.0}
"""Presets of the ToolRL paper have both; most later papers have neither."""
_NO_KL = {"kl": ("none",)}
_KL_IN_LOSS = {"kl": ("none", "in_loss")}
"""The source leaves KL out of its formula, and a penalty of the loss beside it changes nothing in the formula."""

_ALL = (
    Algorithm(
        "grpo",
        "the mean reward of the group is the baseline, its standard deviation the unit; clipped loss of PPO",
        "Shao et al., DeepSeekMath, arXiv 2402.03300",
        version=0,
    ),
    Algorithm(
        "ppo",
        "generalised advantage estimation with a critic; clipped loss",
        "Schulman et al., arXiv 1707.06347",
        estimator="gae",
        critic=True,
        groups=False,
        version=0,
    ),
    Algorithm(
        "rloo",
        "the mean reward of the group's other responses is the baseline",
        "Ahmadian et al., Back to Basics, arXiv 2402.14740",
        estimator="rloo",
    ),
    Algorithm(
        "reinforce++",
        "return of each token (`rl.gamma`), whitened over the tokens of the step",
        "Hu et al., REINFORCE++, arXiv 2501.03262",
        estimator="reinforce_plus_plus",
        groups=False,
    ),
    Algorithm(
        "reinforce++_baseline",
        "reward minus the group's mean, whitened over the tokens of the step",
        "Hu et al., REINFORCE++, arXiv 2501.03262",
        estimator="reinforce_plus_plus_baseline",
    ),
    Algorithm(
        "remax",
        "the reward of one greedy response to the prompt is the baseline",
        "Li et al., ReMax, arXiv 2310.10505",
        groups=False,
        extra_responses=1,
        own_trainer=True,
    ),
    Algorithm(
        "opo",
        "the length-weighted mean reward of the group is the baseline; exactly on-policy",
        "Hao et al., On-Policy RL with Optimal Reward Baseline, arXiv 2505.23585",
        estimator="opo",
        settings=_WITHOUT_KL,
        only=_NO_KL,
        on_policy=True,
    ),
    Algorithm(
        "gpg",
        "reward minus the group's mean, scaled by all responses over those with a reward; no ratio, no clip",
        "Chu et al., GPG, arXiv 2504.02546",
        estimator="gpg",
        loss="gpg",
        settings=_WITHOUT_KL,
        only=_NO_KL,
    ),
    Algorithm(
        "grpo_passk",
        "only the best response of a group gets an advantage: its lead over the second",
        "Tang et al., arXiv 2503.19595",
        estimator="grpo_passk",
    ),
    Algorithm(
        "gdpo",
        "each part of the reward is normalised in its group, then they are weighted, added and normalised",
        "GDPO, arXiv 2601.05242",
        settings=_WITHOUT_KL,
        only=_KL_IN_LOSS,  # there is no one reward that a penalty could be taken from
        own_trainer=True,
    ),
    Algorithm(
        "dr_grpo",
        "GRPO without the standard deviation, and without the length in the mean of the loss",
        "Liu et al., Dr. GRPO, arXiv 2503.20783",
        settings={**_WITHOUT_KL, "norm_by_std": False, "loss_agg": "seq-mean-token-sum-norm"},
        only={**_NO_KL, "norm_by_std": (False,), "loss_agg": ("seq-mean-token-sum-norm",)},
    ),
    Algorithm(
        "dapo",
        "GRPO with a higher upper clip, the mean over tokens, and groups whose rewards differ",
        "Yu et al., DAPO, arXiv 2503.14476",
        settings={
            **_WITHOUT_KL,
            "clip_ratio_low": 0.2,
            "clip_ratio_high": 0.28,
            "loss_agg": "token-mean",
            "dynamic_sampling": {},
        },
        only={**_NO_KL, "norm_by_std": (True,), "loss_agg": ("token-mean",)},
    ),
    Algorithm(
        "gspo",
        "the ratio of a whole response, by its geometric mean, is clipped",
        "Zheng et al., GSPO, arXiv 2507.18071",
        loss="gspo",
        settings={
            **_WITHOUT_KL,
            "clip_ratio_low": 3e-4,
            "clip_ratio_high": 4e-4,
            "loss_agg": "seq-mean-token-mean",
        },
        only={**_KL_IN_LOSS, "loss_agg": ("seq-mean-token-mean",)},
    ),
    Algorithm(
        "cispo",
        "REINFORCE with the importance weight clipped from above and without gradient",
        "MiniMax-M1, arXiv 2506.13585",
        loss="cispo",
        # a lower bound out of reach is none
        settings={
            **_WITHOUT_KL,
            "clip_ratio_low": 10.0,
            "clip_ratio_high": 0.2,
            "loss_agg": "token-mean",
        },
        only={**_NO_KL, "loss_agg": ("token-mean",)},
    ),
    Algorithm(
        "sapo",
        "a sigmoid of the ratio takes the place of the clip",
        "Gao et al., SAPO, arXiv 2511.20347",
        loss="sapo",
        options={f"{_ACTOR}.tau_pos": 1.0, f"{_ACTOR}.tau_neg": 1.05},
        settings=_WITHOUT_KL,
        only=_KL_IN_LOSS,
    ),
    Algorithm(
        "gmpo",
        "the geometric mean of a response's clipped ratios takes the place of their arithmetic mean",
        "Zhao et al., GMPO, arXiv 2507.20673",
        loss="geo_mean",
        settings={**_WITHOUT_KL, "clip_ratio_low": 0.4, "clip_ratio_high": 0.4},
        only=_KL_IN_LOSS,
        whole_mini_batches=True,
    ),
    Algorithm(
        "clip_cov",
        "some tokens of high covariance between advantage and log-probability get no gradient",
        "Cui et al., The Entropy Mechanism, arXiv 2505.22617",
        loss="clip_cov",
        options={
            f"{_ACTOR}.policy_loss.clip_cov_ratio": 2e-4,
            f"{_ACTOR}.policy_loss.clip_cov_lb": 1.0,
            f"{_ACTOR}.policy_loss.clip_cov_ub": 5.0,
        },
        # the formula has no other clip; at 1 the ratio has no lower bound, and 2 as the upper one
        settings={**_WITHOUT_KL, "clip_ratio_low": 1.0, "clip_ratio_high": 1.0},
        only=_KL_IN_LOSS,
        whole_mini_batches=True,
        within_rank=True,
    ),
    Algorithm(
        "kl_cov",
        "tokens of the highest covariance between advantage and log-probability get a KL penalty",
        "Cui et al., The Entropy Mechanism, arXiv 2505.22617",
        loss="kl_cov",
        options={
            f"{_ACTOR}.policy_loss.kl_cov_ratio": 2e-3,
            f"{_ACTOR}.policy_loss.ppo_kl_coef": 1.0,
        },
        settings=_WITHOUT_KL,
        only=_KL_IN_LOSS,
        whole_mini_batches=True,
        within_rank=True,
    ),
    Algorithm(
        "dppo_tv",
        "tokens whose probability has moved too far (total variation) get no gradient",
        "DPPO, arXiv 2602.04879",
        loss="dppo_tv",
        options={f"{_ACTOR}.clip_ratio_c": 10000.0},
        settings={**_WITHOUT_KL, "clip_ratio_low": 0.15, "clip_ratio_high": 0.15},
        only=_KL_IN_LOSS,
    ),
    Algorithm(
        "dppo_kl",
        "tokens whose probability has moved too far (binary KL) get no gradient",
        "DPPO, arXiv 2602.04879",
        loss="dppo_kl",
        options={f"{_ACTOR}.clip_ratio_c": 10000.0},
        settings={**_WITHOUT_KL, "clip_ratio_low": 0.05, "clip_ratio_high": 0.05},
        only=_KL_IN_LOSS,
    ),
    Algorithm(
        "dro",
        "policy gradient with a quadratic penalty on the log-ratio to the policy of the rollout",
        "Richemond et al., Direct Reward Optimisation, arXiv 2405.19107",
        loss="dro",
        options={f"{_ACTOR}.policy_loss.dro_beta": 1.0},
        settings=_WITHOUT_KL,
        only=_NO_KL,  # it has a penalty of its own
    ),
)

ALGORITHMS: Mapping[str, Algorithm] = {algorithm.name: algorithm for algorithm in _ALL}
"""Name → algorithm."""
