"""What was meant by an option that verl does not have: old names, names of other trainers, misspellings.

An option that a setting gives is suggested as that setting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache
from typing import Any

from toolrl_cli.spec.suggest import nearest
from toolrl_cli.training.checking.composed import Kind, composed, config_folder
from toolrl_cli.training.ownership.owning import may_be_wanted, setting_for
from toolrl_cli.wording import listed

ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"

SAME: dict[Kind, dict[str, str]] = {
    "rl": {
        # earlier verl
        "use_token_level_loss": f"{ACTOR}.loss_agg_mode",
        "grad_offload": f"{ACTOR}.fsdp_config.param_offload",
        "micro_batch_size": f"{ACTOR}.ppo_micro_batch_size_per_gpu",
        "total_training_epochs": "trainer.total_epochs",
        "reward_manager": "reward.reward_manager.name",
        "compute_score": "reward.custom_reward_function.path",
        # TRL, OpenRLHF, LLaMA-Factory
        "learning_rate": f"{ACTOR}.optim.lr",
        "actor_learning_rate": f"{ACTOR}.optim.lr",
        "critic_learning_rate": "critic.optim.lr",
        "warmup_steps": f"{ACTOR}.optim.lr_warmup_steps",
        "max_grad_norm": f"{ACTOR}.grad_clip",
        "num_generations": f"{ROLLOUT}.n",
        "n_samples_per_prompt": f"{ROLLOUT}.n",
        "group_size": f"{ROLLOUT}.n",
        "rollout_batch_size": "data.train_batch_size",
        "per_device_train_batch_size": f"{ACTOR}.ppo_micro_batch_size_per_gpu",
        "micro_train_batch_size": f"{ACTOR}.ppo_micro_batch_size_per_gpu",
        "num_iterations": f"{ACTOR}.ppo_epochs",
        "beta": "algorithm.kl_ctrl.kl_coef",
        "init_kl_coef": "algorithm.kl_ctrl.kl_coef",
        "eps_clip": f"{ACTOR}.clip_ratio",
        "cliprange": f"{ACTOR}.clip_ratio",
        "epsilon": f"{ACTOR}.clip_ratio",
        "epsilon_low": f"{ACTOR}.clip_ratio_low",
        "epsilon_high": f"{ACTOR}.clip_ratio_high",
        "entropy_coef": f"{ACTOR}.entropy_coeff",
        "importance_sampling_level": f"{ACTOR}.policy_loss.loss_mode",
        "advantage_estimator": "algorithm.adv_estimator",
        "loss_type": f"{ACTOR}.loss_agg_mode",
        "scale_rewards": "algorithm.norm_adv_by_std_in_grpo",
        "max_completion_length": "data.max_response_length",
        "max_new_tokens": "data.max_response_length",
        "generate_max_len": "data.max_response_length",
        "prompt_max_len": "data.max_prompt_length",
        "max_steps": "trainer.total_training_steps",
        "num_train_epochs": "trainer.total_epochs",
        "save_steps": "trainer.save_freq",
        "eval_steps": "trainer.test_freq",
        "save_total_limit": "trainer.max_actor_ckpt_to_keep",
        "vllm_gpu_memory_utilization": f"{ROLLOUT}.gpu_memory_utilization",
        "tensor_parallel_size": f"{ROLLOUT}.tensor_model_parallel_size",
        "lora_r": "actor_rollout_ref.model.lora_rank",
        "bf16": f"{ACTOR}.fsdp_config.dtype",
    },
    "sft": {
        "partial_pretrain": "model.path",
        "lr_scheduler": "optim.lr_scheduler_type",
        "warmup_steps_ratio": "optim.lr_warmup_steps_ratio",
        "learning_rate": "optim.lr",
        "warmup_ratio": "optim.lr_warmup_steps_ratio",
        "max_grad_norm": "optim.clip_grad",
        "per_device_train_batch_size": "data.micro_batch_size_per_gpu",
        "cutoff_len": "data.max_length",
        "max_seq_length": "data.max_length",
        "max_steps": "trainer.total_training_steps",
        "num_train_epochs": "trainer.total_epochs",
        "save_steps": "trainer.save_freq",
        "save_total_limit": "trainer.max_ckpt_to_keep",
        "lora_r": "model.lora_rank",
        "bf16": "engine.dtype",
    },
}
"""Last part of a name that verl 0.9.1 does not have → its option of that meaning."""

OWN_CODE = frozenset(
    {"actor_rollout_ref.model.external_lib", "critic.model.external_lib", "model.external_lib"}
    | {"reward.reward_manager.module.path", "trainer.checkpoint_callback_class"}
)
"""Options that bring code of a user's own, which may read options that verl does not."""

_FREE_SECTIONS = re.compile(
    r".*\.(override\w*|\w*_kwargs|\w*_config|ray_init|env_vars|runtime_env|metrics|backend)\..*", re.ASCII
)
"""Sections that verl hands on as they are."""


def meant(kind: Kind, name: str) -> str:
    """What to write instead of a name that verl does not have; empty where nothing is like it."""
    close = _closest(kind, name)
    if close is None:
        return _siblings(kind, name)
    setting = setting_for(kind, close, "cpu")
    return f"did you mean the setting `{setting}`, verl's {close}?" if setting else f"did you mean {close!r}?"


def is_read(kind: Kind, name: str) -> bool:
    """Whether verl reads an option that its configuration lacks, as far as its source shows, or hands it on.

    Every part that the configuration lacks has to be in the source; of a whole section, which many functions are
    given under other names, no more can be said. What is directly in `trainer` is read from something of that name.
    """
    node: Any = composed(kind).raw
    head, *below = name.split(".")
    if head not in node:
        return False
    if _FREE_SECTIONS.fullmatch(name):
        return True
    if head == "trainer" and len(below) == 1:
        return _in_source(rf"""\btrainer(?:\.get\(\s*|\.|\[)["']?{re.escape(below[0])}\b""")
    for part in (head, *below):
        node = node.get(part) if isinstance(node, Mapping) else None
        # an attribute, a key, a field or an argument
        word = re.escape(part)
        if node is None and not _in_source(rf"""[.'"]{word}\b|\b{word}\s*[:=]"""):
            return False
    return True


@lru_cache(maxsize=256)
def _in_source(pattern: str) -> bool:
    return any(re.search(pattern, text) is not None for text in _source())


@lru_cache(maxsize=1)
def _source() -> tuple[str, ...]:
    root = config_folder().parents[1]
    return tuple(path.read_text(encoding="utf-8", errors="replace") for path in sorted(root.rglob("*.py")))


def _closest(kind: Kind, name: str) -> str | None:
    names = composed(kind).names
    section, _, last = name.rpartition(".")
    if last in SAME[kind]:
        return SAME[kind][last]
    namesakes = [n for n in names if n.rpartition(".")[2] == last and may_be_wanted(kind, n)]
    if namesakes:
        within = [n for n in namesakes if n.endswith(f".{name}")]
        return max(sorted(within or namesakes), key=lambda n: SequenceMatcher(None, n, name).ratio())
    siblings = {n.rpartition(".")[2]: n for n in names if n.rpartition(".")[0] == section}
    like = get_close_matches(last, siblings, n=1, cutoff=0.7)
    if like:
        return siblings[like[0]]
    return None if section and siblings else nearest(name, names)


def _siblings(kind: Kind, name: str) -> str:
    section = name.rpartition(".")[0]
    inside = sorted(n.rpartition(".")[2] for n in composed(kind).names if n.rpartition(".")[0] == section)
    return f"{section} has {listed(inside, 8)}" if section and inside else ""
