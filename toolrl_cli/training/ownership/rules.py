"""The options of verl 0.9.1 that a sweep may not set although no setting gives them, and those that it may.

What a setting gives is not here: `derivation` finds it. Where a rule speaks of verl, its reason was read in verl's
source or run; "in no place" means in none that verl's V1 trainer with FSDP, or its SFT trainer, reaches.
"""

from __future__ import annotations

from toolrl_cli.training.ownership.learning_rules import ACTOR, LEARNING, LOSS
from toolrl_cli.training.ownership.rule import Rule
from toolrl_cli.training.ownership.running_rules import ROLLOUT, RUNNING

RULES: tuple[Rule, ...] = (*LEARNING, *RUNNING)
"""The first that matches holds."""

FREE: tuple[str, ...] = (
    f"{ACTOR}.{{clip_ratio_c,tau_*,loss_scale_factor}}",
    f"{LOSS}.{{clip_cov_*,kl_cov_ratio,ppo_kl_coef,dro_beta}}",
    "data.{dataloader_num_workers,num_workers,ignore_input_ids_mismatch}",
    f"{ROLLOUT}.{{agent.num_workers,engine_kwargs.**,checkpoint_engine.**,free_cache_engine}}",
    "reward.num_workers",
    "transfer_queue.backend.**",
    "ray_kwargs.ray_init.{num_cpus,include_dashboard,object_store_memory}",
    "**.override_config.**",
    "**.{use_remove_padding,enable_gradient_checkpointing,use_torch_compile}",
    "trainer.{project_name,experiment_name,val_before_train,checkpoint_callback_class}",
)
"""Options that toolrl sets, or a setting changes, and that may be set all the same: nothing else relies on them."""
