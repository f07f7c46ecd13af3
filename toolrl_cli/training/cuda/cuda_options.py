"""Options and environment of verl on CUDA: attention, precision, and a Ray that fits the machine's processors.

What is said of verl, Ray and TransferQueue was read in their source.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import lru_cache
from typing import Any, Literal

from toolrl_cli.training.cpu.cpu_options import usable_cpus
from toolrl_cli.wording import first_line

Attention = Literal["flash_attention_2", "sdpa"]
Precision = Literal["fp32", "bf16"]

STORAGE_UNITS = 8
"""TransferQueue's own number of storage actors."""
CPUS_A_GPU = 3
"""Processors of a GPU's bundle in verl's placement group (`ResourcePoolManager.max_colocate_count`)."""
OTHER_CPUS = 2
"""TransferQueue's controller holds one, and an actor without a number is placed only where one is free."""


NOT_INSTALLED = "not installed"


@lru_cache
def flash_attention_fault() -> str | None:
    """Why flash-attn cannot be used here; None where it can.

    It is imported only in a process that has imported torch, so that planning does not pay for it.
    """
    if importlib.util.find_spec("flash_attn") is None:
        return NOT_INSTALLED
    if "torch" not in sys.modules:
        return None
    try:
        importlib.import_module("flash_attn")
    except (ImportError, OSError, RuntimeError) as error:  # of another torch, CUDA or C++ library
        return f"does not import: {first_line(error)}"
    return None


def attention(precision: Precision) -> Attention:
    """The attention that models are trained with: flash-attn's where it can be used, which takes no fp32."""
    return "flash_attention_2" if precision == "bf16" and flash_attention_fault() is None else "sdpa"


def cuda_rl_overrides(precision: Precision, *, critic: bool, gpus: int, nodes: int = 1) -> dict[str, Any]:
    """Overrides of `verl.trainer.main_ppo` for CUDA.

    Args:
        precision: of the computation; master weights are fp32.
        critic: whether there is a value model.
        gpus: of each machine that the run takes.
        nodes: machines, with as many processors each as this one.
    """
    sections = ["actor_rollout_ref.actor.fsdp_config", "actor_rollout_ref.ref.fsdp_config"]
    models = ["actor_rollout_ref.model"]
    if critic:
        sections, models = [*sections, "critic.fsdp"], [*models, "critic.model"]
    options = _ray(gpus, nodes, usable_cpus())
    for section in sections:
        options |= _precision(section, precision)
    for model in models:
        options |= _attention(model, precision)
    return options


def cuda_sft_overrides(precision: Precision) -> dict[str, Any]:
    """Overrides of `verl.trainer.sft_trainer` for CUDA."""
    return _precision("engine", precision) | _attention("model", precision)


def cuda_environment() -> dict[str, str]:
    """Environment variables of a verl process tree on CUDA."""
    return {"TOOLRL_CUDA_ENGINES": "1", "VERL_USE_EXTERNAL_MODULES": "toolrl_cli.training.plugin"}


def _precision(section: str, precision: Precision) -> dict[str, Any]:
    # verl's FSDP engine reads this and not `dtype`; without it, it computes in bf16
    kinds = {"param_dtype": precision, "reduce_dtype": "fp32", "buffer_dtype": "fp32"}
    return {f"+{section}.mixed_precision.{kind}": value for kind, value in kinds.items()}


def _attention(model: str, precision: Precision) -> dict[str, Any]:
    # verl asks for flash-attn unless told otherwise. Rows stay packed: without flash-attn Transformers keeps them
    # apart by their positions, with a mask of tokens × tokens
    chosen = attention(precision)
    return {} if chosen == "flash_attention_2" else {f"+{model}.override_config.attn_implementation": chosen}


def _ray(gpus: int, nodes: int, cpus: int) -> dict[str, Any]:
    """As many storage actors as fit, and at least as many logical processors of a node as a run has to have.

    With fewer, verl and TransferQueue wait for ever without a word. Storage actors go round the nodes in turn; which
    node has the controller and the actors without a number, nobody says.
    """
    others = CPUS_A_GPU * gpus + OTHER_CPUS
    units = max(1, min(-(-STORAGE_UNITS // nodes), cpus - others))
    return {
        "transfer_queue.backend.SimpleStorage.num_data_storage_units": units * nodes,
        "ray_kwargs.ray_init.num_cpus": max(cpus, others + units),
    }
