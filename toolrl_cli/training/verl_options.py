"""Translates a stage's settings to verl 0.9.1's options.

Each function returns dotted option → value; `cpu.overrides.hydra_arguments` writes them in Hydra's syntax.
Options that the user gave (`verl:` in a sweep) are applied last and override the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.kind_configs import RlConfig, SftConfig
from toolrl_cli.spec.run.training_settings import LoraSpec
from toolrl_cli.spec.stage_config import Offload
from toolrl_cli.training.algorithm_options import algorithm_options
from toolrl_cli.training.checkpointing.last_save import CALLBACK, OPTION
from toolrl_cli.training.cpu.cpu_options import AGENT_LOOP_MANAGER, cpu_rl_overrides, cpu_sft_overrides
from toolrl_cli.training.cuda.cuda_options import cuda_rl_overrides, cuda_sft_overrides
from toolrl_cli.training.device import Device
from toolrl_cli.training.models.gpu_memory import chosen_offload

PROJECT = "toolrl"
REWARD_FILE = "reward.json"
REWARD_FAILURE_FILE = "reward_failure.json"
GROUP_SCORING = "toolrl_cli.training.rollout.group_scoring.GroupAgentLoopManager"
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
"""verl's names of the compute precision; master weights are fp32 in both (`model_dtype`)."""

Options = dict[str, Any]


@dataclass(frozen=True)
class Paths:
    """The paths that one attempt reads and writes."""

    model: Path | str
    train: Path
    val: Path | None
    checkpoints: Path
    attempt: Path


def rl_options(config: RlConfig, paths: Paths, device: Device) -> Options:
    """Options of `verl.trainer.main_ppo`, or of toolrl's own program for the algorithms that have one.

    Args:
        config: the `config` of an `rl` stage.
        paths: of the attempt.
        device: `cpu` or `cuda`.
    """
    rl, resources, seed = config.rl, config.resources, config.seed
    algorithm = ALGORITHMS[config.algorithm]
    critic = algorithm.critic
    gpus, ranks = resources.gpus, resources.ranks
    dtype = DTYPES[config.precision]
    low, high = rl.clip_ratio_low, rl.clip_ratio_high
    options: Options = {
        "data.train_files": str(paths.train),
        "data.val_files": str(paths.val),
        "data.train_batch_size": rl.prompts,
        "data.max_prompt_length": rl.max_prompt_length,
        "data.max_response_length": rl.max_response_length,
        "data.truncation": rl.truncation,
        "data.seed": seed,
        "data.dataloader_num_workers": 0,
        "algorithm.gamma": rl.gamma,
        "algorithm.lam": rl.gae_lambda,
        "algorithm.use_kl_in_reward": rl.kl == "in_reward",
        "algorithm.kl_ctrl.kl_coef": rl.kl_coef,
        "actor_rollout_ref.model.path": str(paths.model),
        "actor_rollout_ref.actor.strategy": "fsdp2",
        "actor_rollout_ref.ref.strategy": "fsdp2",
        "actor_rollout_ref.actor.fsdp_config.dtype": dtype,
        "actor_rollout_ref.actor.fsdp_config.seed": seed,
        "actor_rollout_ref.ref.fsdp_config.dtype": dtype,
        "actor_rollout_ref.actor.optim.lr": rl.lr,
        "actor_rollout_ref.actor.optim.lr_warmup_steps": rl.warmup_steps,
        "actor_rollout_ref.actor.optim.weight_decay": rl.weight_decay,
        "actor_rollout_ref.actor.grad_clip": rl.grad_clip,
        "actor_rollout_ref.actor.optim.clip_grad": rl.grad_clip,
        "actor_rollout_ref.actor.ppo_mini_batch_size": rl.mini_batch,
        "actor_rollout_ref.actor.ppo_epochs": rl.updates,
        "actor_rollout_ref.actor.clip_ratio": rl.clip_ratio,
        "actor_rollout_ref.actor.clip_ratio_low": rl.clip_ratio if low is None else low,
        "actor_rollout_ref.actor.clip_ratio_high": rl.clip_ratio if high is None else high,
        "actor_rollout_ref.actor.entropy_coeff": rl.entropy_coeff,
        "actor_rollout_ref.actor.use_kl_loss": rl.kl == "in_loss",
        "actor_rollout_ref.actor.kl_loss_coef": rl.kl_coef,
        "actor_rollout_ref.actor.data_loader_seed": seed,
        "actor_rollout_ref.rollout.n": rl.rollouts,
        "actor_rollout_ref.rollout.temperature": rl.temperature,
        "actor_rollout_ref.rollout.top_p": rl.top_p,
        "actor_rollout_ref.rollout.top_k": rl.top_k,
        "actor_rollout_ref.rollout.seed": seed,
        "actor_rollout_ref.rollout.tensor_model_parallel_size": 1,
        "actor_rollout_ref.rollout.dtype": dtype,
        "actor_rollout_ref.rollout.calculate_log_probs": True,
        "actor_rollout_ref.rollout.gpu_memory_utilization": resources.gpu_memory_utilization,
        "actor_rollout_ref.rollout.name": rollout_name(resources.rollout, device),
        "actor_rollout_ref.rollout.max_model_len": rl.max_prompt_length + rl.max_response_length,
        **reward_options(paths.attempt, rl.steps),
        "trainer.v1.sampler.custom_sampler.path": "pkg://toolrl_cli.training.replay_buffer",
        "trainer.v1.sampler.custom_sampler.name": "TrainingReplayBuffer",
        "+trainer.v1.sampler.sampler_kwargs.failure_file": str(paths.attempt / REWARD_FAILURE_FILE),
        "trainer.total_training_steps": rl.steps,
        "trainer.total_epochs": 1_000_000,  # the number of steps ends the run, not the data
        "trainer.critic_warmup": rl.critic_warmup,
        "trainer.save_freq": rl.save_every,
        OPTION: CALLBACK,
        "trainer.test_freq": rl.validate_every,
        # of one alone verl would remove the one before when only the actor of the next is saved; the rest is pruned
        "trainer.max_actor_ckpt_to_keep": max(2, rl.keep_checkpoints),
        "trainer.max_critic_ckpt_to_keep": max(2, rl.keep_checkpoints),
        "trainer.val_before_train": True,
        "trainer.rollout_data_dir": str(paths.attempt / "rollouts"),
        "trainer.validation_data_dir": str(paths.attempt / "validation"),
        "trainer.n_gpus_per_node": gpus,
        **_common(paths, resources.nodes),
        **algorithm_options(config),
    }
    transformers = options["actor_rollout_ref.rollout.name"] == "transformers"
    if config.lora is not None:
        options |= _lora("actor_rollout_ref.model", config.lora)
        # vLLM takes adapters beside a base that it loads itself, the Transformers server whole weights only
        options |= (
            {"actor_rollout_ref.model.lora.merge": True}
            if transformers
            else {"actor_rollout_ref.rollout.load_format": "auto"}
        )
    share = max(1, rl.mini_batch * rl.rollouts // ranks)
    micro = None if rl.micro_batch is None else min(rl.micro_batch, share)  # as in `sft_options`
    options |= _micro_batches("actor_rollout_ref.actor", "ppo", micro, rl.micro_batch_tokens)
    options |= _micro_batches("actor_rollout_ref.rollout", "log_prob", micro, rl.micro_batch_tokens)
    options |= _micro_batches("actor_rollout_ref.ref", "log_prob", micro, rl.micro_batch_tokens)
    if critic:
        options |= {
            "critic.strategy": "fsdp2",
            "critic.model.path": str(paths.model),
            "critic.fsdp.dtype": dtype,
            "critic.fsdp.seed": seed,
            "critic.optim.lr": rl.critic_lr,
            "critic.optim.lr_warmup_steps": rl.warmup_steps,
            "critic.optim.weight_decay": rl.weight_decay,
            "critic.grad_clip": rl.grad_clip,
            "critic.optim.clip_grad": rl.grad_clip,
            "critic.data_loader_seed": seed,
        }
        options |= _micro_batches("critic", "ppo", micro, rl.micro_batch_tokens)
    if transformers:
        options["+actor_rollout_ref.rollout.agent.agent_loop_manager_class"] = AGENT_LOOP_MANAGER
    elif any(part.get("batch") for part in config.reward.get("components", {}).values()):
        options["+actor_rollout_ref.rollout.agent.agent_loop_manager_class"] = GROUP_SCORING
    if device == "cuda":
        sections = ["actor_rollout_ref.actor.fsdp_config", "actor_rollout_ref.ref.fsdp_config"]
        options |= _offloading(chosen_offload(config), [*sections, "critic.fsdp"] if critic else sections)
        options |= cuda_rl_overrides(config.precision, critic=critic, gpus=gpus, nodes=resources.nodes)
    if device == "cpu":
        options |= cpu_rl_overrides(critic=critic, ranks=gpus, nodes=resources.nodes)
    return options | config.verl_options


def sft_options(config: SftConfig, paths: Paths, device: Device) -> Options:
    """Options of `verl.trainer.sft_trainer` for supervised fine-tuning."""
    sft, resources = config.sft, config.resources
    share = max(1, sft.batch_size // resources.ranks)
    options: Options = {
        "data.train_files": str(paths.train),
        "data.train_batch_size": sft.batch_size,
        # a device never handles more than its share; verl refuses a larger number
        "data.micro_batch_size_per_gpu": min(sft.micro_batch_size, share),
        "data.use_dynamic_bsz": False,
        "data.max_length": sft.max_length,
        "data.truncation": "right",
        "data.num_workers": 0,
        "data.ignore_input_ids_mismatch": True,  # for templates that add their own system prompt
        "model.path": str(paths.model),
        "engine.strategy": "fsdp2",
        "engine.dtype": DTYPES[config.precision],
        "engine.seed": config.seed,
        "optim.lr": sft.lr,
        "optim.lr_scheduler_type": sft.lr_schedule,
        "optim.lr_warmup_steps_ratio": sft.warmup,
        "optim.weight_decay": sft.weight_decay,
        "optim.clip_grad": sft.grad_clip,
        "trainer.seed": config.seed,
        "trainer.save_freq": sft.save_every or -1,
        "trainer.max_ckpt_to_keep": 2,
        "trainer.n_gpus_per_node": resources.gpus,
        **_common(paths, resources.nodes),
    }
    if config.lora is not None:
        options |= _lora("model", config.lora)
    if paths.val is not None:
        options |= {"data.val_files": str(paths.val), "trainer.test_freq": "after_each_epoch"}
    if sft.steps is None:
        options["trainer.total_epochs"] = sft.epochs
    else:
        options |= {"trainer.total_training_steps": sft.steps, "trainer.total_epochs": sft.steps}
    if device == "cuda":
        options |= _offloading(chosen_offload(config), ["engine"])
        options |= cuda_sft_overrides(config.precision)
    if device == "cpu":
        options |= cpu_sft_overrides(ranks=resources.gpus, nodes=resources.nodes)
    return options | config.verl_options


def rollout_name(wanted: str, device: Device) -> str:
    """`vllm` on a GPU where it is installed, otherwise `transformers`."""
    if wanted != "auto":
        return wanted
    import importlib.util

    return "vllm" if device == "cuda" and importlib.util.find_spec("vllm") else "transformers"


def reward_options(attempt: Path, total_steps: int) -> Options:
    """Options that select our reward manager through verl's extension point; `reward_manager` describes the keys."""
    return {
        "reward.reward_manager.source": "importlib",
        "reward.reward_manager.module.path": "pkg://toolrl_cli.training.reward_manager",
        "reward.reward_manager.name": "ToolrlRewardManager",
        "+reward.toolrl.spec": str(attempt / REWARD_FILE),
        "+reward.toolrl.total_steps": total_steps,
        "+reward.toolrl.failure_file": str(attempt / REWARD_FAILURE_FILE),
    }


def _offloading(wanted: Offload, sections: Iterable[str]) -> Options:
    """Options for offloading weights, gradients and moments."""
    names: Mapping[Offload, tuple[str, ...]]
    names = {"never": (), "idle": ("param_offload", "optimizer_offload"), "always": ("offload_policy",)}
    return {f"{section}.{name}": True for section in sections for name in names[wanted]}


def _lora(model: str, lora: LoraSpec) -> Options:
    """Options of a model section for adapters. PPO's critic has a section of its own and is trained whole."""
    targets = lora.target_modules
    options: Options = {
        f"{model}.lora_rank": lora.rank,
        f"{model}.lora_alpha": lora.alpha,
        f"{model}.target_modules": targets if isinstance(targets, str) else list(targets),
    }
    return options | (
        {f"{model}.exclude_modules": list(lora.exclude_modules)} if lora.exclude_modules else {}
    )


def _common(paths: Paths, nodes: int) -> Options:
    return {
        "trainer.logger": ["console", "file"],  # W&B is fed from the files, once a step, by the tracking room
        "trainer.project_name": PROJECT,
        "trainer.experiment_name": paths.checkpoints.parent.name,
        "trainer.default_local_dir": str(paths.checkpoints),
        "trainer.resume_mode": "auto",
        "trainer.nnodes": nodes,
    }


def _micro_batches(prefix: str, kind: str, micro: int | None, tokens: int) -> Options:
    """Options for micro-batches: a fixed number of samples if given, otherwise a limit on tokens."""
    dynamic = f"{prefix}.use_dynamic_bsz" if kind == "ppo" else f"{prefix}.log_prob_use_dynamic_bsz"
    if micro is None:
        return {dynamic: True, f"{prefix}.{kind}_max_token_len_per_gpu": tokens}
    return {dynamic: False, f"{prefix}.{kind}_micro_batch_size_per_gpu": micro}
