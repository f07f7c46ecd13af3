"""Every option of verl has one owner: a setting, toolrl, or the user."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from toolrl_cli.spec.kind_configs import RlConfig, SftConfig
from toolrl_cli.spec.run.data_settings import ToolWorldData
from toolrl_cli.spec.run.model_settings import HuggingFaceModel
from toolrl_cli.spec.run.run_spec import Resources
from toolrl_cli.spec.run.training_settings import RlSpec, SftSpec
from toolrl_cli.training.checking.composed import Kind, composed
from toolrl_cli.training.checking.option_fault import OptionFault
from toolrl_cli.training.device import Device
from toolrl_cli.training.ownership.claims import claims
from toolrl_cli.training.ownership.derivation import owners
from toolrl_cli.training.ownership.meanings import SAME, is_read, meant
from toolrl_cli.training.ownership.owning import owner_of
from toolrl_cli.training.ownership.rules import RULES

ACTOR, ROLLOUT, MODEL = "actor_rollout_ref.actor", "actor_rollout_ref.rollout", "actor_rollout_ref.model"
REF, LOSS = "actor_rollout_ref.ref", "actor_rollout_ref.actor.policy_loss"
CORRECTION = "algorithm.rollout_correction"


def faults(
    kind: Kind,
    options: dict[str, Any],
    device: Device = "cpu",
    rollout: str = "auto",
    algorithm: str = "grpo",
) -> list[OptionFault]:
    common: dict[str, Any] = {
        "model": HuggingFaceModel(kind="huggingface", name="m", path="m"),
        "data": ToolWorldData(kind="toolworld"),
        "resources": Resources.model_validate({"device": device, "rollout": rollout}),
        "verl_options": options,
    }
    config = (
        SftConfig(**common, sft=SftSpec())
        if kind == "sft"
        else RlConfig(**common, algorithm=algorithm, reward={}, rl=RlSpec())
    )
    return claims(kind, config, device)


MAPPED: list[tuple[Kind, str, Any, str]] = [
    # option, value, what is to be set instead
    ("rl", "data.train_files", "a.parquet", "data"),
    ("rl", "data.val_files", "a.parquet", "data"),
    ("sft", "data.train_files", "a.parquet", "data"),
    ("sft", "data.val_files", "a.parquet", "data"),
    ("rl", f"{MODEL}.path", "other", "model"),
    ("rl", "critic.model.path", "other", "model"),
    ("sft", "model.path", "other", "model"),
    ("rl", "data.train_batch_size", 64, "rl.prompts: 64"),
    ("rl", "trainer.nnodes", 2, "resources.nodes: 2"),
    ("sft", "trainer.nnodes", 2, "resources.nodes: 2"),
    ("rl", "data.max_prompt_length", 64, "rl.max_prompt_length: 64"),
    ("rl", "data.max_response_length", 64, "rl.max_response_length: 64"),
    ("rl", "data.truncation", "error", "rl.truncation"),
    ("sft", "data.train_batch_size", 64, "sft.batch_size: 64"),
    ("sft", "data.micro_batch_size_per_gpu", 64, "sft.micro_batch_size: 64"),
    ("sft", "data.use_dynamic_bsz", True, "sft.micro_batch_size"),
    ("sft", "data.max_length", 64, "sft.max_length: 64"),
    *(("rl", option, 7, "seed: 7") for option in (
        "data.seed", f"{ACTOR}.data_loader_seed", "critic.data_loader_seed", f"{ROLLOUT}.seed",
        f"{ACTOR}.fsdp_config.seed", f"{REF}.fsdp_config.seed", "critic.fsdp.seed")),
    *(("sft", option, 7, "seed: 7") for option in ("trainer.seed", "engine.seed")),
    ("rl", "algorithm.adv_estimator", "gae", "algorithm: ppo"),
    ("rl", "algorithm.gamma", 0.5, "rl.gamma: 0.5"),
    ("rl", "algorithm.lam", 0.5, "rl.gae_lambda: 0.5"),
    ("rl", "algorithm.use_kl_in_reward", True, "rl.kl: in_reward"),
    ("rl", "algorithm.kl_ctrl.kl_coef", 0.5, "rl.kl_coef: 0.5"),
    ("rl", f"{ACTOR}.optim.lr", 1e-3, "rl.lr: 0.001"),
    ("rl", f"{ACTOR}.optim.lr_warmup_steps", 3, "rl.warmup_steps: 3"),
    ("rl", f"{ACTOR}.optim.weight_decay", 0, "rl.weight_decay: 0"),
    ("rl", f"{ACTOR}.grad_clip", 2.0, "rl.grad_clip: 2.0"),
    ("rl", f"{ACTOR}.optim.clip_grad", 2.0, "rl.grad_clip: 2.0"),
    ("rl", f"{ACTOR}.ppo_mini_batch_size", 64, "rl.mini_batch: 64"),
    ("rl", f"{ACTOR}.ppo_epochs", 3, "rl.updates: 3"),
    ("rl", f"{ACTOR}.clip_ratio", 0.3, "rl.clip_ratio: 0.3"),
    ("rl", f"{ACTOR}.clip_ratio_low", 0.28, "rl.clip_ratio_low: 0.28"),
    ("rl", f"{ACTOR}.clip_ratio_high", 0.28, "rl.clip_ratio_high: 0.28"),
    ("rl", f"{ACTOR}.loss_agg_mode", "seq-mean-token-mean", 'rl.loss_agg: "seq-mean-token-mean"'),
    ("rl", "algorithm.norm_adv_by_std_in_grpo", False, "rl.norm_by_std: false"),
    ("rl", f"{ACTOR}.entropy_coeff", 0.01, "rl.entropy_coeff: 0.01"),
    ("rl", f"{ACTOR}.use_kl_loss", True, "rl.kl: in_loss"),
    ("rl", f"{ACTOR}.kl_loss_coef", 0.01, "rl.kl_coef: 0.01"),
    ("rl", "critic.optim.lr", 1e-3, "rl.critic_lr: 0.001"),
    ("rl", "critic.optim.lr_warmup_steps", 3, "rl.warmup_steps: 3"),
    ("rl", "critic.optim.weight_decay", 0.1, "rl.weight_decay: 0.1"),
    ("rl", "critic.grad_clip", 2.0, "rl.grad_clip: 2.0"),
    ("rl", "critic.ppo_mini_batch_size", 64, "rl.mini_batch: 64"),
    ("rl", "critic.ppo_epochs", 3, "rl.updates: 3"),
    ("rl", "critic.ppo_micro_batch_size_per_gpu", 4, "rl.micro_batch: 4"),
    ("rl", f"{ACTOR}.ppo_micro_batch_size", 4, "rl.micro_batch"),
    ("rl", f"{ACTOR}.ppo_micro_batch_size_per_gpu", 4, "rl.micro_batch: 4"),
    ("rl", f"{ROLLOUT}.log_prob_micro_batch_size", 4, "rl.micro_batch"),
    ("rl", f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu", 4, "rl.micro_batch: 4"),
    ("rl", f"{REF}.log_prob_micro_batch_size_per_gpu", 4, "rl.micro_batch: 4"),
    ("rl", f"{ACTOR}.ppo_max_token_len_per_gpu", 4000, "rl.micro_batch_tokens: 4000"),
    ("rl", f"{ROLLOUT}.log_prob_max_token_len_per_gpu", 4000, "rl.micro_batch_tokens: 4000"),
    ("rl", "critic.ppo_max_token_len_per_gpu", 4000, "rl.micro_batch_tokens: 4000"),
    ("rl", f"{ACTOR}.use_dynamic_bsz", True, "rl.micro_batch: null"),
    ("rl", f"{ROLLOUT}.log_prob_use_dynamic_bsz", False, "rl.micro_batch"),
    ("rl", f"{ACTOR}.fsdp_config.param_offload", True, "resources.offload: idle"),
    ("rl", f"{REF}.fsdp_config.optimizer_offload", True, "resources.offload: idle"),
    ("rl", "critic.fsdp.offload_policy", True, "resources.offload: always"),
    ("sft", "engine.offload_policy", True, "resources.offload: always"),
    ("rl", f"{ACTOR}.fsdp_config.dtype", "float32", "precision: fp32"),
    ("rl", f"{REF}.fsdp_config.dtype", "bfloat16", "precision: bf16"),
    ("rl", f"{ROLLOUT}.dtype", "float16", "precision"),
    ("rl", f"{ACTOR}.fsdp_config.mixed_precision.param_dtype", "fp16", "precision"),
    ("sft", "engine.dtype", "float32", "precision: fp32"),
    ("rl", f"{ROLLOUT}.n", 64, "rl.rollouts: 64"),
    ("rl", f"{ROLLOUT}.temperature", 0.7, "rl.temperature: 0.7"),
    ("rl", f"{ROLLOUT}.top_p", 0.9, "rl.top_p: 0.9"),
    ("rl", f"{ROLLOUT}.top_k", 20, "rl.top_k: 20"),
    ("rl", f"{ROLLOUT}.name", "vllm", "resources.rollout: vllm"),
    ("rl", f"{ROLLOUT}.gpu_memory_utilization", 0.5, "resources.gpu_memory_utilization: 0.5"),
    ("rl", "trainer.total_training_steps", 9, "rl.steps: 9"),
    ("rl", "trainer.total_epochs", 9, "rl.steps"),
    ("sft", "trainer.total_training_steps", 9, "sft.steps: 9"),
    ("sft", "trainer.total_epochs", 9, "sft.epochs: 9"),
    ("rl", "trainer.save_freq", 9, "rl.save_every: 9"),
    ("rl", "trainer.test_freq", 9, "rl.validate_every: 9"),
    ("sft", "trainer.save_freq", 9, "sft.save_every: 9"),
    ("rl", "trainer.max_actor_ckpt_to_keep", 1, "rl.keep_checkpoints: 1"),
    ("rl", "trainer.max_critic_ckpt_to_keep", 1, "rl.keep_checkpoints: 1"),
    ("rl", "trainer.remove_previous_ckpt_in_save", True, "rl.keep_checkpoints"),
    ("rl", "trainer.critic_warmup", 3, "rl.critic_warmup: 3"),
    ("rl", "trainer.n_gpus_per_node", 8, "resources.gpus: 8"),
    ("sft", "trainer.n_gpus_per_node", 8, "resources.gpus: 8"),
    ("rl", "trainer.device", "cuda", "resources.device: cuda"),
    ("rl", "ray_kwargs.ray_init.num_gpus", 2, "resources.gpus: 2"),
    ("sft", "optim.lr", 1e-3, "sft.lr: 0.001"),
    ("sft", "optim.lr_scheduler_type", "constant", "sft.lr_schedule: constant"),
    ("sft", "optim.lr_warmup_steps_ratio", 0.5, "sft.warmup: 0.5"),
    ("sft", "optim.weight_decay", 0.5, "sft.weight_decay: 0.5"),
    ("sft", "optim.clip_grad", 0.5, "sft.grad_clip: 0.5"),
    ("rl", f"{MODEL}.lora_rank", 8, "lora.rank: 8"),
    ("rl", f"{MODEL}.lora_alpha", 16, "lora.alpha: 16"),
    ("rl", f"{MODEL}.target_modules", ["q_proj"], 'lora.target_modules: ["q_proj"]'),
    ("rl", f"{MODEL}.exclude_modules", ["q_proj"], 'lora.exclude_modules: ["q_proj"]'),
    ("sft", "model.lora_rank", 8, "lora.rank: 8"),
]  # fmt: skip

REFUSED: list[tuple[Kind, str, Any]] = [
    *(("rl", f"data.{name}", 5) for name in ("train_max_samples", "val_max_samples", "prompt_key", "tokenizer",
                                              "return_raw_chat", "custom_cls.path", "custom_cls.name",
                                              "reward_fn_key", "return_raw_input_ids", "trust_remote_code")),
    *(("sft", f"data.{name}", "x") for name in ("messages_key", "tools_key", "custom_cls.path", "truncation",
                                                 "train_max_samples", "balance_dp_token")),
    ("rl", "algorithm.kl_ctrl.type", "adaptive"),
    ("rl", "algorithm.kl_ctrl.target_kl", 0.2),
    ("rl", "algorithm.use_pf_ppo", True),
    ("rl", "algorithm.pf_ppo.weight_pow", 3.0),
    ("rl", "algorithm.filter_groups.enable", True),
    ("rl", "algorithm.filter_groups.metric", "acc"),
    ("rl", "algorithm.gdpo_reward_keys", ["format"]),
    ("rl", "algorithm.gdpo_reward_weights", [1.0]),
    ("rl", f"{CORRECTION}.bypass_mode", True),
    ("rl", f"{CORRECTION}.loss_type", "reinforce"),
    ("rl", f"{LOSS}.rollout_correction.loss_type", "reinforce"),
    ("rl", f"{ACTOR}.optim.total_training_steps", 10),
    ("rl", "critic.optim.total_training_steps", 10),
    ("rl", "critic.enable", True),
    ("rl", "critic.enable", False),
    ("rl", f"{ACTOR}.strategy", "megatron"),
    ("rl", f"{ACTOR}.strategy", "fsdp"),
    ("rl", f"{REF}.strategy", "veomni"),
    ("rl", "critic.strategy", "fsdp"),
    ("rl", f"{ACTOR}.fsdp_config.strategy", "ddp"),
    ("sft", "engine.strategy", "fsdp"),
    ("rl", "model_engine", "megatron"),
    *(("rl", f"{ROLLOUT}.{name}", 4096) for name in ("prompt_length", "response_length", "max_model_len")),
    ("rl", f"{ROLLOUT}.calculate_log_probs", False),
    ("rl", f"{ROLLOUT}.tensor_model_parallel_size", 2),
    ("rl", f"{ROLLOUT}.data_parallel_size", 2),
    ("rl", f"{ROLLOUT}.mode", "sync"),
    ("rl", f"{ROLLOUT}.nnodes", 1),
    ("rl", f"{ROLLOUT}.n_gpus_per_node", 1),
    ("rl", f"{ROLLOUT}.disaggregation.enabled", True),
    ("rl", f"{ROLLOUT}.custom.mine", 1),
    ("rl", f"{ROLLOUT}.checkpoint_manager_class", "x"),
    ("rl", f"{ROLLOUT}.agent.agent_loop_manager_class", "x.Y"),
    ("rl", f"{ROLLOUT}.agent.default_agent_loop", "tool_agent"),
    ("rl", f"{ROLLOUT}.agent.agent_loop_config_path", "x.yaml"),
    ("rl", f"{ROLLOUT}.multi_turn.enable", True),
    ("rl", f"{ROLLOUT}.over_sample_rate", 0.1),
    *(("rl", f"reward.{name}", "x") for name in (
        "reward_manager.name", "reward_manager.source", "reward_manager.module.path", "toolrl.spec",
        "toolrl.total_steps", "custom_reward_function.path", "custom_reward_function.name",
        "reward_kwargs.max_resp_len", "sandbox_fusion.url", "reward_model.enable", "reward_model.model_path")),
    ("rl", "reward.reward_model.enable", True),
    *(("rl", name, "x") for name in ("reward_model.enable", "reward_model.reward_manager", "reward_model.model.path",
                                     "custom_reward_function.path", "sandbox_fusion.url")),
    ("rl", "trainer.use_v1", False),
    ("rl", "trainer.v1.trainer_mode", "separate_async"),
    *(("rl", f"trainer.v1.sampler.{name}", "x") for name in (
        "custom_sampler.path", "custom_sampler.name", "sampler_kwargs.failure_file", "sampler_kwargs.mine",
        "sync_refill_failed_groups", "max_off_policy_threshold", "max_off_policy_strategy")),
    *((kind, f"trainer.{name}", "x") for kind in ("rl", "sft") for name in (
        "default_local_dir", "resume_mode", "resume_from_path", "logger")),
    *(("rl", f"trainer.{name}", "x") for name in ("rollout_data_dir", "validation_data_dir")),
    ("rl", "trainer.val_only", True),
    ("rl", "trainer.del_local_ckpt_after_load", True),
    ("sft", "trainer.max_ckpt_to_keep", 1),
    ("rl", "hydra.run.dir", "x"),
    *(("rl", f"{section}.checkpoint.save_contents", ["model"]) for section in (ACTOR, "critic")),
    ("sft", "checkpoint.save_contents", ["model", "optimizer"]),
    ("rl", f"{ACTOR}.checkpoint.load_contents", ["model"]),
    ("rl", f"{ACTOR}.checkpoint.async_save", True),
    ("rl", f"{ACTOR}.checkpoint.save_lora_only", True),
    ("sft", "checkpoint.save_lora_only", True),
    ("rl", "distillation.enabled", True),
    ("rl", "distillation.n_gpus_per_node", 2),
    ("rl", "skip.rollout.enable", True),
    ("rl", "skip.async_rollout.dump_dir", "x"),
    ("rl", "transfer_queue.enable", False),
    ("rl", "ray_kwargs.ray_init.address", "auto"),
    ("rl", f"{MODEL}.lora.merge", True),
    ("rl", f"{MODEL}.lora.rank", 8),
    ("rl", f"{MODEL}.lora_adapter_path", "x"),
    ("rl", f"{MODEL}.target_parameters", ["x"]),
    ("rl", "critic.model.lora_rank", 8),
    *(("rl", f"{MODEL}.{name}", "x") for name in ("tokenizer_path", "hf_config_path", "custom_chat_template")),
    ("rl", f"{MODEL}.trust_remote_code", True),
    ("sft", "model.custom_chat_template", "x"),
    ("rl", "actor_rollout_ref.nccl_timeout", 10),
    ("rl", "data@data", "x"),
    ("rl", "reward", "x"),
]  # fmt: skip

TAKEN: list[tuple[Kind, str, Any]] = [
    *(("rl", f"data.{name}", 8) for name in ("gen_batch_size", "val_batch_size", "dataloader_num_workers",
                                              "apply_chat_template_kwargs.x")),
    ("rl", "data.shuffle", False),
    ("rl", "data.filter_overlong_prompts", True),
    ("rl", "algorithm.kl_penalty", "k3"),
    ("rl", "algorithm.kl_ctrl.type", "fixed"),
    ("rl", f"{CORRECTION}.rollout_is", "token"),
    ("rl", f"{CORRECTION}.rollout_is_threshold", "0.5_5.0"),
    ("rl", f"{CORRECTION}.rollout_rs", "token_k1"),
    ("rl", f"{ACTOR}.clip_ratio_c", 10.0),
    ("rl", f"{ACTOR}.loss_scale_factor", 1024),
    ("rl", f"{ACTOR}.kl_loss_type", "k2"),
    ("rl", f"{LOSS}.kl_cov_ratio", 0.1),
    ("rl", f"{ACTOR}.tau_pos", 1.0),
    ("rl", f"{ACTOR}.calculate_entropy", True),
    ("rl", "critic.cliprange_value", 0.2),
    ("rl", f"{ACTOR}.optim.lr_scheduler_type", "cosine"),
    ("rl", f"{ACTOR}.optim.min_lr_ratio", 0.1),
    ("rl", "critic.optim.betas", [0.9, 0.95]),
    ("rl", f"{ACTOR}.strategy", "fsdp2"),
    ("rl", "model_engine", "dp"),
    ("rl", f"{ACTOR}.fsdp_config.model_dtype", "bf16"),
    ("rl", f"{ROLLOUT}.calculate_log_probs", True),
    ("rl", f"{ROLLOUT}.tensor_model_parallel_size", 1),
    ("rl", f"{ROLLOUT}.agent.num_workers", 2),
    ("rl", f"{ROLLOUT}.val_kwargs.n", 4),
    ("rl", f"{ROLLOUT}.engine_kwargs.vllm.swap_space", 4),
    ("rl", f"{ROLLOUT}.max_num_seqs", 64),
    ("rl", f"{ROLLOUT}.enforce_eager", True),
    ("rl", f"{ROLLOUT}.load_format", "safetensors"),
    ("rl", "reward.num_workers", 2),
    ("rl", "trainer.use_v1", True),
    ("rl", "trainer.v1.trainer_mode", "sync"),
    ("rl", "trainer.val_only", False),
    ("rl", "trainer.val_before_train", False),
    *(("rl", f"trainer.{name}", 3) for name in (
        "project_name", "experiment_name", "log_val_generations", "balance_batch", "esi_redundant_time",
        "ray_wait_register_center_timeout", "default_hdfs_dir", "checkpoint_callback_class")),
    ("rl", f"{ACTOR}.checkpoint.save_contents", ["model", "optimizer", "extra", "hf_model"]),
    ("rl", f"{ACTOR}.checkpoint.load_contents", ["model", "optimizer", "extra"]),
    ("rl", "transfer_queue.enable", True),
    ("rl", "transfer_queue.backend.SimpleStorage.num_data_storage_units", 2),
    ("rl", "ray_kwargs.ray_init.num_cpus", 8),
    ("rl", "global_profiler.steps", [1]),
    ("rl", f"{MODEL}.override_config.attn_implementation", "eager"),
    *(("rl", f"{MODEL}.{name}", True) for name in ("use_liger", "use_fused_kernels", "enable_gradient_checkpointing",
                                                   "external_lib", "tiled_mlp.enabled")),
    ("sft", "model.override_config.attn_implementation", "eager"),
    ("sft", "optim.betas", [0.9, 0.95]),
]  # fmt: skip


def spellings(option: str, value: Any) -> list[dict[str, Any]]:
    """An option plain, with each prefix, and inside its section given as a mapping."""
    section, _, last = option.rpartition(".")
    nested = [{section: {last: value}}] if section else []
    return [{option: value}, {f"+{option}": value}, {f"++{option}": value}, *nested]


@pytest.mark.parametrize(("kind", "option", "value", "instead"), MAPPED, ids=lambda part: str(part))
def test_an_option_that_a_setting_gives_is_refused_with_the_setting(
    kind: Kind, option: str, value: Any, instead: str
) -> None:
    for device in ("cpu", "cuda"):
        for given in spellings(option, value):
            (fault,) = faults(kind, given, device)
            assert (fault.option, fault.hint) == (next(iter(given)), f"set `{instead}`")
            assert fault.what == f"is given by the setting {instead.partition(':')[0]}"
        (removed,) = faults(kind, {f"~{option}": None}, device)
        assert removed.hint == f"set `{instead.partition(':')[0]}`"


@pytest.mark.parametrize(("kind", "option", "value"), REFUSED, ids=lambda part: str(part))
def test_an_option_that_nobody_may_set_is_refused_with_the_reason(
    kind: Kind, option: str, value: Any
) -> None:
    for given in [*spellings(option, value), {f"~{option}": None}]:
        (fault,) = faults(kind, given)
        assert len(fault.what) > 10
        assert "\n" not in fault.what + fault.hint


@pytest.mark.parametrize(("kind", "option", "value"), TAKEN, ids=lambda part: str(part))
def test_an_option_that_is_the_users_is_taken(kind: Kind, option: str, value: Any) -> None:
    for device in ("cpu", "cuda"):
        for algorithm in ("grpo", "ppo"):
            for given in spellings(option, value):
                assert faults(kind, given, device, algorithm=algorithm) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (f"{ACTOR}.clip_ratio_low", 0.2),
        (f"{ACTOR}.clip_ratio_high", 0.28),
        (f"{ACTOR}.loss_agg_mode", "seq-mean-token-mean"),
        (f"{LOSS}.loss_mode", "gspo"),
        ("algorithm.norm_adv_by_std_in_grpo", False),
    ],
)
def test_what_tells_algorithms_apart_is_the_settings_where_there_is_one_and_the_users_elsewhere(
    option: str, value: Any
) -> None:
    owner = owner_of("rl", option, "cpu")
    for given in spellings(option, value):
        assert [fault.what for fault in faults("rl", given)] == (
            [f"is given by the setting {owner.setting}"] if owner else []
        )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (f"{ROLLOUT}.tensor_model_parallel_size", 2),
        (f"{ROLLOUT}.data_parallel_size", 2),
        (f"{ROLLOUT}.multi_turn.enable", True),
        (f"{ROLLOUT}.agent.default_agent_loop", "tool_agent"),
        (f"{ROLLOUT}.agent.agent_loop_manager_class", "x.Y"),
        (f"{ACTOR}.strategy", "fsdp"),
        (f"{ROLLOUT}.free_cache_engine", False),
    ],
)
def test_what_only_vllm_or_a_gpu_can_do_is_taken_there(option: str, value: Any) -> None:
    assert faults("rl", {option: value}, "cuda", "vllm") == []


@pytest.mark.parametrize("section", ["trainer", "trainer.v1", ROLLOUT, ACTOR, "reward", "data"])
def test_a_section_that_holds_what_toolrl_sets_is_not_removed(section: str) -> None:
    assert len(faults("rl", {f"~{section}": None})) == 1
    assert len(faults("rl", {section: None})) == 1


def test_both_halves_of_the_bypass_pass_together_and_none_alone() -> None:
    whole = {
        f"{CORRECTION}.bypass_mode": True,
        f"{LOSS}.loss_mode": "bypass_mode",
        f"+{LOSS}.rollout_correction.loss_type": "reinforce",
    }
    assert faults("rl", whole) == []
    for size in (1, 2):
        for part in itertools.combinations(whole.items(), size):
            assert len(faults("rl", dict(part))) == size
    assert [f.option for f in faults("rl", {**whole, f"{CORRECTION}.rollout_is": "token"})] == [
        f"{CORRECTION}.rollout_is"
    ]


def test_what_is_loaded_is_what_is_saved() -> None:
    contents = ["model", "optimizer", "extra", "hf_model"]
    both = {f"{ACTOR}.checkpoint.save_contents": contents, f"{ACTOR}.checkpoint.load_contents": contents}
    assert faults("rl", both) == []
    assert len(faults("rl", {**both, f"{ACTOR}.checkpoint.load_contents": contents[:3]})) == 1


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("kind", ["rl", "sft"])
def test_everything_that_the_builder_sets_has_an_owner_and_is_refused_or_free(
    kind: Kind, device: Device
) -> None:
    for option in owners(kind, device):
        free = owner_of(kind, option, device) is None
        assert (faults(kind, {option: "a value that nobody has"}, device, "transformers") == []) == free, (
            option
        )


def test_a_setting_that_is_added_owns_what_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from toolrl_cli.training.ownership import derivation

    def with_keeping(config: RlConfig, paths: Any, device: Any) -> dict[str, Any]:
        return {"trainer.keeps": config.rl.keep_checkpoints > 2, "trainer.fixed": 1}

    monkeypatch.setattr(derivation, "rl_options", with_keeping)
    derivation._observed.cache_clear()
    found = derivation._of_device("rl", "cpu", ("grpo",))
    derivation._observed.cache_clear()
    assert {option: owner.setting for option, owner in found.items()} == {
        "trainer.keeps": "rl.keep_checkpoints",
        "trainer.fixed": "",
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.options)
def test_every_rule_gives_its_reason_on_one_line(rule: Any) -> None:
    assert rule.why or rule.setting
    assert "\n" not in rule.why + rule.instead
    assert not rule.why.endswith(".")


@pytest.mark.parametrize("kind", ["rl", "sft"])
def test_names_of_other_trainers_lead_to_options_that_verl_has(kind: Kind) -> None:
    names = composed(kind).names
    assert {name for name in SAME[kind].values() if name not in names} == set()


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("rl", f"{ACTOR}.use_token_level_loss",
         "did you mean the setting `rl.loss_agg`, verl's actor_rollout_ref.actor.loss_agg_mode?"),
        ("rl", "grpo.num_generations", f"did you mean the setting `rl.rollouts`, verl's {ROLLOUT}.n?"),
        ("rl", "algorithm.kl_coef", "did you mean the setting `rl.kl_coef`, verl's algorithm.kl_ctrl.kl_coef?"),
        ("rl", "actor.clip_ratio_c", f"did you mean '{ACTOR}.clip_ratio_c'?"),
        ("rl", f"{ACTOR}.fsdp_config.grad_offload",
         f"did you mean the setting `resources.offload`, verl's {ACTOR}.fsdp_config.param_offload?"),
        ("sft", "model.partial_pretrain", "did you mean the setting `model`, verl's model.path?"),
        ("rl", "trainer.max_num_seqs", f"did you mean '{ROLLOUT}.max_num_seqs'?"),
    ],
)  # fmt: skip
def test_what_was_meant_is_told_by_meaning(kind: Kind, name: str, says: str) -> None:
    assert meant(kind, name) == says
    assert f"{ACTOR}.loss_agg_mode" in meant("rl", f"{ACTOR}.use_token_level_loss")


@pytest.mark.parametrize(
    ("option", "read"),
    [
        ("trainer.save_frequently", False),
        ("mine.max_num_seqs", False),
        ("trainer.enable", False),
        ("trainer.whatever.enable", False),
        ("trainer.max_actor_ckpt_to_keep", True),
        (f"{ROLLOUT}.engine_kwargs.vllm.anything", True),
        (f"{MODEL}.override_config.rope_theta", True),
        ("algorithm.gdpo_reward_keys", True),
    ],
)
def test_an_added_option_is_refused_where_nothing_in_verl_asks_for_it(option: str, read: bool) -> None:
    assert is_read("rl", option) is read
    if not read:
        (fault,) = faults("rl", {f"+{option}": 1})
        assert fault.what == "is read by nothing in verl"
        assert faults("rl", {f"+{option}": 1, f"{MODEL}.external_lib": "mine"}) == []
