"""Settings that make verl train on CPUs: Hydra overrides and environment variables.

Pure strings and numbers; imports nothing of torch or verl.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

#: Logical CPUs given to Ray: verl requests more than a laptop has, and waits for ever if it does not get them.
LOGICAL_CPUS = 32

OBJECT_STORE_BYTES = 1 << 30
#: Rollouts in bundles instead of sample by sample.
AGENT_LOOP_MANAGER = "toolrl_cli.training.rollout.agent_loop.BundleAgentLoopManager"

#: More threads than this do not speed up models that are small enough for a CPU.
MAX_THREADS = 8

#: Parameters below which a second thread costs a decoding step more than it gains (benches/bench_threads.py).
SMALL_MODEL = 20_000_000

Overrides = dict[str, Any]

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./:-]*")
_WORDS = ("true", "false", "null", "inf", "nan")
_BEFORE_QUOTE = re.compile(r"(\\*)'")
_AT_END = re.compile(r"\\+\Z")

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


def cpu_rl_overrides(*, critic: bool = False, ranks: int = 1, nodes: int = 1) -> Overrides:
    """Overrides of `verl.trainer.main_ppo` for the CPU.

    Args:
        critic: whether there is a value model (PPO with GAE).
        ranks: trainer processes on each node; each gets a rollout server of its own.
        nodes: machines.

    Returns:
        Hydra keys, with `+` where verl's configuration lacks the key, and their values.
    """
    overrides: Overrides = {
        "trainer.device": "cpu",
        "trainer.n_gpus_per_node": ranks,
        "trainer.nnodes": nodes,
        "actor_rollout_ref.actor.strategy": "fsdp2",
        "actor_rollout_ref.actor.use_torch_compile": False,
        "actor_rollout_ref.ref.strategy": "fsdp2",
        "actor_rollout_ref.rollout.name": "transformers",
        "actor_rollout_ref.rollout.dtype": "float32",
        "actor_rollout_ref.rollout.tensor_model_parallel_size": 1,
        "actor_rollout_ref.rollout.free_cache_engine": False,
        "+actor_rollout_ref.rollout.engine_kwargs.transformers.num_threads": 0,  # `decoding_threads`
        "actor_rollout_ref.rollout.agent.num_workers": 1,
        "+actor_rollout_ref.rollout.agent.agent_loop_manager_class": AGENT_LOOP_MANAGER,
        "reward.num_workers": 1,
        "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
        "data.dataloader_num_workers": 0,
        "ray_kwargs.ray_init.num_cpus": LOGICAL_CPUS * ranks,
        "+ray_kwargs.ray_init.num_gpus": ranks,
        "+ray_kwargs.ray_init.include_dashboard": False,
        # Ray would reserve a third of the memory; only buckets of weights go through its store here
        "+ray_kwargs.ray_init.object_store_memory": OBJECT_STORE_BYTES,
        "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes": 64,
        **_model("actor_rollout_ref.model"),
        **_engine("actor_rollout_ref.actor.fsdp_config"),
        **_engine("actor_rollout_ref.ref.fsdp_config"),
    }
    if critic:
        overrides |= {"critic.strategy": "fsdp2", **_model("critic.model"), **_engine("critic.fsdp")}
    return overrides


def cpu_sft_overrides(*, ranks: int = 1, nodes: int = 1) -> Overrides:
    """Overrides of `verl.trainer.sft_trainer` for the CPU.

    Args:
        ranks: processes that torchrun starts on each node.
        nodes: machines.
    """
    return {
        "trainer.device": "cpu",
        "trainer.n_gpus_per_node": ranks,
        "trainer.nnodes": nodes,
        "engine.strategy": "fsdp2",
        "data.num_workers": 0,
        **_model("model"),
        **_engine("engine"),
    }


def hydra_arguments(overrides: Mapping[str, Any]) -> list[str]:
    """Overrides as command-line arguments: `key=value`, with Hydra's spelling of None and booleans.

    `~key` with None removes a key whatever its value.
    """
    return [
        key if key.startswith("~") and value is None else f"{key}={_hydra(value)}"
        for key, value in overrides.items()
    ]


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
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    # in quotes, a backslash is an escape only before a quote, including the closing one
    quoted = _BEFORE_QUOTE.sub(lambda match: match[1] * 2 + r"\'", text)
    return "'" + _AT_END.sub(lambda match: match[0] * 2, quoted) + "'"


def cpu_environment(*, ranks: int = 1, threads: int | None = None) -> dict[str, str]:
    """Environment variables of a verl process tree on the CPU.

    Args:
        ranks: trainer processes that share the machine.
        threads: torch threads of each, or None for an equal share of the usable processors, at most
            `MAX_THREADS`.
    """
    if threads is None:
        threads = max(1, min(usable_cpus() // ranks, MAX_THREADS))
    return {
        "VERL_PLATFORM": "cpu",
        # in addition to the entry point, because verl ignores errors in entry points
        "VERL_USE_EXTERNAL_MODULES": "toolrl_cli.training.plugin",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads),
        # let waiting threads sleep: with more processes than processors, spinning is slower
        "OMP_WAIT_POLICY": "PASSIVE",
        "OPENBLAS_NUM_THREADS": "1",
        # Ray would start workers in advance without the runtime environment of verl's actors, so none would be used
        "RAY_prestart_worker_first_driver": "0",
    }


def decoding_threads(parameters: int, available: int) -> int:
    """Threads that a model decodes with on a CPU: one for a small one, whose steps are many small operations.

    Args:
        parameters: of the model.
        available: threads that it may have.
    """
    return 1 if parameters < SMALL_MODEL else available


def usable_cpus() -> int:
    """Number of processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def cpu_command(
    module: str,
    arguments: Sequence[str],
    *,
    ranks: int | None = None,
    nodes: int = 1,
    master: str | None = None,
) -> list[str]:
    """The command that runs a verl module on the CPU, with its processes forked where the system can.

    Args:
        module: `verl.trainer.main_ppo` or `verl.trainer.sft_trainer`.
        arguments: its Hydra overrides.
        ranks: run the module as this many torch.distributed ranks (SFT); None for a Ray driver (RL).
        nodes: machines with so many ranks each; more than one only where processes are forked.
        master: `host:port` on the first of them where the ranks meet; None for this machine alone.
    """
    if sys.platform.startswith("linux"):
        host = [sys.executable, "-m", "toolrl_cli.training.cpu.forkhost"]
        host += [] if ranks is None else ["--ranks", str(ranks)]
        host += [] if master is None else ["--nodes", str(nodes), "--master", master]
        return [*host, module, *arguments]
    if ranks is None:
        return [sys.executable, "-m", module, *arguments]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
    return [*torchrun, "-m", module, *arguments]
