"""The options of verl 0.9.1 that a sweep may not set although no setting gives them, and those that it may.

What a setting gives is not here: `derivation` finds it. Where a rule speaks of verl, its reason was read in verl's
source or run; "in no place" means in none that verl's V1 trainer with FSDP, or its SFT trainer, reaches.
"""

from __future__ import annotations

from typing import Any

from toolrl_cli.training.ownership.rule import (
    Rule,
    Situation,
    both,
    either,
    has_all,
    on_cuda,
    one_of,
    with_vllm,
)

ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
LOSS = f"{ACTOR}.policy_loss"
MODEL = "{actor_rollout_ref.model,model}"

REWARD = "set `reward`; a function of your own is a component {kind: python, path: rewards.py, function: f}"
NOWHERE = "is read by verl in no place"
V0 = f"{NOWHERE} of its V1 trainer, which toolrl starts"
OTHER_TRAINERS = "belongs to trainers of verl that toolrl does not start"
ONE_MODEL = "an evaluation would load the model in another way than the training did"
NEEDED = ("model", "optimizer", "extra")


def _bypass(value: Any, situation: Situation) -> bool:
    """Whether both halves of verl's bypass mode are given: old log-probabilities and the loss that corrects them."""
    given = situation.given
    own = [name for name in given if name.startswith(f"{LOSS}.rollout_correction.")]
    return (
        bool(own)
        and given.get("algorithm.rollout_correction.bypass_mode") is True
        and given.get(f"{LOSS}.loss_mode") == "bypass_mode"
    )


def _no_bypass(value: Any, situation: Situation) -> bool:
    return situation.given.get("algorithm.rollout_correction.bypass_mode", False) is False


def _as_saved(value: Any, situation: Situation) -> bool:
    """Whether what is loaded is what is saved; by itself, both are verl's default."""
    saved = next(
        (v for name, v in situation.given.items() if name.endswith("checkpoint.save_contents")), NEEDED
    )
    return isinstance(value, (list, tuple)) and sorted(map(str, value)) == sorted(map(str, saved))


HALF_BYPASS = (
    f"set all three: algorithm.rollout_correction.bypass_mode: true, {LOSS}.loss_mode: bypass_mode and "
    f"+{LOSS}.rollout_correction.loss_type"
)

RULES: tuple[Rule, ...] = (
    # rows
    Rule(
        "data.{train,val}_max_samples",
        "is for `data` to say: a plan counts its rows",
        "set data.limit.train: N (rlla) or data.train: N (toolworld)",
    ),
    Rule(
        "data.{prompt_key,messages_key,tools_key,enable_thinking_key,tokenizer,return_raw_chat}",
        "describes rows of another form: they are written by toolrl",
        "set `data`",
    ),
    Rule(
        "data.custom_cls.**",
        "reads rows in another way than the plan's counts and the check of gold answers do",
        "set `data`",
    ),
    Rule("data.truncation", setting="rl.truncation", same=True, kinds=("rl",)),
    Rule("data.{use_dynamic_bsz,max_token_len_per_gpu}", setting="sft.micro_batch_size", kinds=("sft",)),
    # algorithm
    Rule(
        "algorithm.kl_ctrl.type",
        "other than fixed is in no checkpoint: a resumed run starts again at rl.kl_coef",
        "leave it out",
        passes=one_of("fixed"),
    ),
    Rule(
        "algorithm.kl_ctrl.{horizon,target_kl}",
        "is read for an adaptive coefficient alone, which cannot be resumed",
    ),
    Rule(
        "algorithm.{use_pf_ppo,pf_ppo.**}",
        "gives rows the advantages of other rows in verl's V1 trainer",
        "leave it out",
        passes=one_of(False),
    ),
    Rule(
        "algorithm.filter_groups.**",
        "does not reach toolrl's replay buffer",
        "set rl.dynamic_sampling",
    ),
    Rule("algorithm.gdpo_*", f"{V0}", "set `algorithm: gdpo`"),
    Rule(
        "algorithm.rollout_correction.bypass_mode",
        "is only one half: without the loss of that name nothing is corrected",
        HALF_BYPASS,
        passes=either(one_of(False), _bypass),
    ),
    Rule(
        "algorithm.rollout_correction.loss_type",
        NOWHERE,
        f"set +{LOSS}.rollout_correction.loss_type",
    ),
    Rule(
        "algorithm.rollout_correction.rollout_{is,rs}*",
        "is not read beside bypass_mode: true",
        f"set it under +{LOSS}.rollout_correction",
        passes=_no_bypass,
    ),
    Rule(
        f"{LOSS}.rollout_correction.**", "is read by the loss bypass_mode alone", HALF_BYPASS, passes=_bypass
    ),
    Rule("critic.enable", "follows from the algorithm", "set `algorithm: ppo` for a critic"),
    # optimiser and batches
    Rule("**.optim.total_training_steps", "is overwritten by verl", "set rl.steps or sft.steps"),
    Rule("**.{ppo,log_prob,forward}_micro_batch_size", setting="rl.micro_batch", kinds=("rl",)),
    Rule("**.forward_{max_token_len,micro_batch_size}_per_gpu", NOWHERE, "set rl.micro_batch"),
    Rule("actor_rollout_ref.ref.fsdp_config.seed", setting="seed", same=True),
    # engines
    Rule(
        "**.strategy",
        "other than FSDP's writes checkpoints that toolrl cannot export, and on CPUs only fsdp2 trains",
        "leave it out",
        passes=either(one_of("fsdp2"), both(on_cuda, one_of("fsdp"))),
    ),
    Rule("**.mixed_precision.**", setting="precision"),
    # rollout
    Rule(
        f"{ROLLOUT}.{{prompt_length,response_length,max_model_len}}",
        "follows from the lengths of prompt and response",
        "set rl.max_prompt_length or rl.max_response_length",
    ),
    Rule(
        f"{ROLLOUT}.calculate_log_probs",
        "is needed: the difference between rollout and training is measured by them",
        "leave it out",
        passes=one_of(True),
    ),
    Rule(
        f"{ROLLOUT}.{{tensor,data,pipeline}}_{{model_,}}parallel_size",
        "is 1 with the Transformers rollout, whose engines have a GPU each",
        "set resources.rollout: vllm",
        kinds=("rl",),
        passes=either(with_vllm, one_of(1)),
    ),
    Rule(f"{ROLLOUT}.mode", OTHER_TRAINERS, "leave it out", passes=one_of("async")),
    Rule(
        f"{ROLLOUT}.{{nnodes,n_gpus_per_node,checkpoint_manager_class,disaggregation.**}}",
        OTHER_TRAINERS,
        "set resources.gpus",
    ),
    Rule(f"{ROLLOUT}.custom.**", OTHER_TRAINERS),
    Rule(
        f"{ROLLOUT}.{{agent.agent_loop_manager_class,agent.default_agent_loop,agent.agent_loop_config_path}}",
        "has no place in the Transformers rollout, which answers in one turn and in bundles",
        "set resources.rollout: vllm",
        passes=either(with_vllm, one_of("single_turn_agent")),
    ),
    Rule(
        f"{ROLLOUT}.multi_turn.**",
        "has no place in the Transformers rollout, which answers in one turn",
        "set resources.rollout: vllm",
        passes=either(with_vllm, one_of(False)),
    ),
    # reward
    Rule("reward.{reward_manager,toolrl}.**", "is toolrl's reward", REWARD),
    Rule("{reward.,}custom_reward_function.**", "is never called: the reward is toolrl's", REWARD),
    Rule("reward.reward_model.**", "takes the place of toolrl's reward, or has no effect", REWARD),
    Rule("reward.{reward_kwargs,sandbox_fusion}.**", "is read by reward managers of verl alone", REWARD),
    Rule("{reward_model,sandbox_fusion}.**", V0, REWARD),
    # trainer
    Rule("trainer.use_v1", "false starts a trainer without toolrl's replay buffer", passes=one_of(True)),
    Rule(
        "trainer.v1.trainer_mode", "other than sync is not for toolrl's replay buffer", passes=one_of("sync")
    ),
    Rule("trainer.v1.sampler.**", "is toolrl's replay buffer, or is not read by it", "leave it out"),
    Rule("trainer.v1.{colocate_async,separate_async}.**", OTHER_TRAINERS),
    Rule("trainer.total_epochs", setting="rl.steps", kinds=("rl",)),
    Rule("trainer.remove_previous_ckpt_in_save", setting="rl.keep_checkpoints"),
    Rule(
        "trainer.max_ckpt_to_keep",
        "is 2: a kill while the newest is written leaves the one before",
        "leave it out",
        kinds=("sft",),
    ),
    Rule(
        "trainer.del_local_ckpt_after_load",
        "takes the checkpoint away that the next attempt needs",
        "leave it out",
        passes=one_of(False),
    ),
    Rule(
        "trainer.{default_local_dir,resume_mode,resume_from_path}",
        "is toolrl's: resume, export and status look into the stage's folder",
        "leave it out; --results moves all folders",
    ),
    Rule(
        "trainer.{rollout_data_dir,validation_data_dir}",
        "is toolrl's: `show` and `rescore` read what is written there",
        "leave it out; --results moves all folders",
    ),
    Rule(
        "trainer.val_only", "ends without a checkpoint", "set train: [] for a raw model", passes=one_of(False)
    ),
    Rule(
        "trainer.logger",
        "is toolrl's: curves, the best checkpoint and the check for hangs read the metrics file",
        "leave it out; toolrl feeds W&B from that file",
    ),
    Rule("trainer.device", setting="resources.device", same=True),
    Rule("trainer.nnodes", "is 1: a stage runs on one machine", "set resources.gpus", passes=one_of(1)),
    Rule(
        "**.checkpoint.save_contents",
        "has to have model, optimizer and extra, for resume and export",
        "write [model, optimizer, extra], and hf_model if wanted",
        passes=has_all(*NEEDED),
    ),
    Rule(
        "**.checkpoint.load_contents",
        "has to be what is saved, or a resumed run is another one",
        "leave it out",
        passes=_as_saved,
    ),
    Rule(
        "**.checkpoint.async_save",
        "leaves out the file that says which checkpoint is whole",
        "leave it out",
        passes=one_of(False),
    ),
    Rule("**.checkpoint.save_lora_only", "leaves nothing to export: the base is not in it"),
    # whole parts of verl
    Rule("distillation.**", "needs GPUs that are not in the plan", "leave it out"),
    Rule("skip.**", "answers with stored rollouts of another run", "leave it out", passes=one_of(False)),
    Rule("transfer_queue.enable", "is always true in verl's V1 trainer", passes=one_of(True)),
    Rule("ray_kwargs.ray_init.address", "cannot be chosen: an attempt has a Ray of its own", "leave it out"),
    Rule("hydra.**", "is toolrl's: an attempt's folder is the stage's", "leave it out"),
    # model
    Rule(f"{MODEL}.lora_rank", setting="lora.rank", same=True),
    Rule(f"{MODEL}.lora_alpha", setting="lora.alpha", same=True),
    Rule(f"{MODEL}.target_modules", setting="lora.target_modules", same=True),
    Rule(f"{MODEL}.exclude_modules", setting="lora.exclude_modules", same=True),
    Rule(f"{MODEL}.lora.merge", "is set where the rollout needs it", "set lora.rank"),
    Rule(
        f"{MODEL}.{{lora.**,lora_adapter_path,target_parameters}}",
        "is another trainer's adapter, or one that is not trained",
        "set lora.rank",
    ),
    Rule(
        "critic.model.{lora_*,lora.**,target_modules,exclude_modules,target_parameters}",
        "cannot be: verl fails to build a critic with an adapter, so it is trained in full",
        "leave it out",
    ),
    Rule(
        "{actor_rollout_ref.model,critic.model,model}.{tokenizer_path,hf_config_path,custom_chat_template}",
        f"is not in the model's folder: {ONE_MODEL}",
        "put it into the folder that `model` names",
    ),
    Rule(
        "{actor_rollout_ref.model,critic.model,model,data}.trust_remote_code",
        f"is not for one side alone: {ONE_MODEL}",
        "leave it out",
        passes=one_of(False),
    ),
    # read in no place (verl's configurations have them; searched in its source)
    Rule("actor_rollout_ref.nccl_timeout", NOWHERE),
    Rule(f"{ACTOR}.{{freeze_vision_tower,use_prefix_grouper}}", V0),
    Rule(f"{ROLLOUT}.{{over_sample_rate,multi_stage_wake_up}}", "is read by no rollout that toolrl starts"),
    Rule("data.{return_raw_input_ids,reward_fn_key}", V0),
    Rule("data.balance_dp_token", NOWHERE, kinds=("sft",)),
)

FREE: tuple[str, ...] = (
    "data.{dataloader_num_workers,num_workers,ignore_input_ids_mismatch}",
    f"{ROLLOUT}.{{agent.num_workers,engine_kwargs.**,checkpoint_engine.**,free_cache_engine}}",
    "reward.num_workers",
    "transfer_queue.backend.**",
    "ray_kwargs.ray_init.{num_cpus,include_dashboard,object_store_memory}",
    "**.override_config.**",
    "**.{use_remove_padding,enable_gradient_checkpointing,use_torch_compile}",
    "trainer.{project_name,experiment_name,val_before_train}",
)
"""Options that toolrl sets, or a setting changes, and that may be set all the same: nothing else relies on them."""
