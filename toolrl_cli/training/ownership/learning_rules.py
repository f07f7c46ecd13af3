"""Rules about options of what is learned: rows, algorithm, optimiser, engines and model. See `rules`."""

from __future__ import annotations

from typing import Any

from toolrl_cli.training.ownership.rule import Rule, Situation, both, either, on_cuda, one_of

ACTOR = "actor_rollout_ref.actor"
LOSS = f"{ACTOR}.policy_loss"
MODEL = "{actor_rollout_ref.model,model}"
NOWHERE = "is read by verl in no place"
V0 = f"{NOWHERE} of its V1 trainer, which toolrl starts"
ONE_MODEL = "an evaluation would load the model in another way than the training did"


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


HALF_BYPASS = (
    f"set all three: algorithm.rollout_correction.bypass_mode: true, {LOSS}.loss_mode: bypass_mode and "
    f"+{LOSS}.rollout_correction.loss_type"
)

LEARNING: tuple[Rule, ...] = (
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
    Rule("data.truncation", setting="rl.truncation", kinds=("rl",)),
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
        f"{LOSS}.loss_mode",
        "is only one half: the old log-probabilities are computed all the same",
        HALF_BYPASS,
        applies=one_of("bypass_mode"),
        passes=_bypass,
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
    # read in no place
    Rule("actor_rollout_ref.nccl_timeout", NOWHERE),
    Rule(f"{ACTOR}.{{freeze_vision_tower,use_prefix_grouper}}", V0),
    Rule("data.{return_raw_input_ids,reward_fn_key}", V0),
    Rule("data.balance_dp_token", NOWHERE, kinds=("sft",)),
)
