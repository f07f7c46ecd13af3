"""Settings that make verl train on CPUs: Hydra overrides and environment variables.

Pure strings and numbers; imports nothing of torch or verl.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Logical CPUs given to Ray: verl asks for far more than a laptop has, and hangs when it does not get them.
LOGICAL_CPUS = 32

#: Rollouts in bundles instead of sample by sample.
AGENT_LOOP_MANAGER = "toolrl_cli.training.rollout.agent_loop.BundleAgentLoopManager"

Overrides = dict[str, Any]

_FP32 = {"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"}


def _model(prefix: str) -> Overrides:
    return {
        f"+{prefix}.override_config.attn_implementation": "sdpa",
        f"{prefix}.use_remove_padding": False,
        f"{prefix}.enable_gradient_checkpointing": False,
    }


def _engine(prefix: str) -> Overrides:
    # bfloat16 would make the trainer's log-probs differ visibly from the rollout's, and is slower here
    fp32 = {f"+{prefix}.mixed_precision.{key}": value for key, value in _FP32.items()}
    return {f"{prefix}.use_torch_compile": False, **fp32}


def cpu_rl_overrides(*, critic: bool = False, ranks: int = 1) -> Overrides:
    """Overrides of `verl.trainer.main_ppo` for the CPU.

    Args:
        critic: whether there is a value model (PPO with GAE).
        ranks: trainer processes; each gets a rollout server of its own.

    Returns:
        Hydra keys, with `+` where verl's configuration lacks the key, and their values.
    """
    overrides: Overrides = {
        "trainer.device": "cpu",
        "trainer.n_gpus_per_node": ranks,
        "trainer.nnodes": 1,
        "actor_rollout_ref.actor.strategy": "fsdp2",
        "actor_rollout_ref.actor.use_torch_compile": False,
        "actor_rollout_ref.ref.strategy": "fsdp2",
        "actor_rollout_ref.rollout.name": "transformers",
        "actor_rollout_ref.rollout.dtype": "float32",
        "actor_rollout_ref.rollout.tensor_model_parallel_size": 1,
        "actor_rollout_ref.rollout.free_cache_engine": False,
        # decoding is many small operations, which only lose time to a second thread
        "+actor_rollout_ref.rollout.engine_kwargs.transformers.num_threads": 1,
        "actor_rollout_ref.rollout.agent.num_workers": 1,
        "+actor_rollout_ref.rollout.agent.agent_loop_manager_class": AGENT_LOOP_MANAGER,
        "reward.num_workers": 1,
        "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
        "data.dataloader_num_workers": 0,
        "ray_kwargs.ray_init.num_cpus": LOGICAL_CPUS * ranks,
        "+ray_kwargs.ray_init.num_gpus": ranks,
        "+ray_kwargs.ray_init.include_dashboard": False,
        **_model("actor_rollout_ref.model"),
        **_engine("actor_rollout_ref.actor.fsdp_config"),
        **_engine("actor_rollout_ref.ref.fsdp_config"),
    }
    if critic:
        overrides |= {"critic.strategy": "fsdp2", **_model("critic.model"), **_engine("critic.fsdp")}
    return overrides


def cpu_sft_overrides(*, ranks: int = 1) -> Overrides:
    """Overrides of `verl.trainer.sft_trainer` for the CPU.

    Args:
        ranks: processes that torchrun starts.
    """
    return {
        "trainer.device": "cpu",
        "trainer.n_gpus_per_node": ranks,
        "trainer.nnodes": 1,
        "engine.strategy": "fsdp2",
        "data.num_workers": 0,
        **_model("model"),
        **_engine("engine"),
    }


def hydra_arguments(overrides: Mapping[str, Any]) -> list[str]:
    """Overrides as command-line arguments: `key=value`, with Hydra's spelling of None and booleans."""
    return [f"{key}={_hydra(value)}" for key, value in overrides.items()]


def _hydra(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_hydra(item) for item in value) + "]"
    if isinstance(value, (int, float)):
        return repr(value)
    text = str(value)
    plain = text and all(character.isalnum() or character in "_-./:@+%" for character in text)
    return text if plain else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def cpu_environment(*, threads: int | None = None) -> dict[str, str]:
    """Environment variables of a verl process tree on the CPU.

    Args:
        threads: torch threads per process, or None to let torch decide.
    """
    environment = {
        "VERL_PLATFORM": "cpu",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    return environment
