"""Settings of a rollout server, and loading of its model and stop tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from toolrl_cli.training.rollout.engine import EngineLimits
from toolrl_cli.training.rollout.stop_tokens import end_of_turn_ids


@dataclass(frozen=True)
class ServerSettings:
    """Plain values that a server starts with; the replica takes them from verl's configuration.

    Attributes:
        model_path, tokenizer_path: Hugging Face folders.
        overrides: changes to the model's configuration (`model.override_config`).
        trust_remote_code: whether code in that folder may run.
        device: `cpu` or `cuda`.
        dtype: of the rollout's weights, such as `float32`.
        prompt_length, response_length: verl's limits in tokens; a response never exceeds `response_length`.
        ignore_eos: ignore stop tokens and generate up to the limit.
        seed: of sampling, different for every replica.
        release_on_sleep: whether sleeping frees the device's memory (`rollout.free_cache_engine`).
        cache_fraction: share of the free device memory for the key-value cache; CUDA only.
        limits: of the engine; `cache_bytes` applies on the CPU only.
        num_threads: torch threads; 0 for what suits the model's size on a CPU, and torch's default on a GPU.
    """

    model_path: str
    tokenizer_path: str
    overrides: Mapping[str, Any]
    trust_remote_code: bool
    device: str
    dtype: str
    prompt_length: int
    response_length: int
    ignore_eos: bool
    seed: int
    release_on_sleep: bool
    cache_fraction: float
    limits: EngineLimits
    num_threads: int = 0


def engine_limits(settings: ServerSettings) -> EngineLimits:
    """The limits, with a cache size from the device's free memory."""
    if settings.device != "cuda":
        return settings.limits
    return replace(settings.limits, cache_bytes=gpu_cache_bytes(settings.cache_fraction))


def gpu_cache_bytes(share: float) -> int:
    """Bytes of a key-value cache that has a share of the memory that is free on this process's GPU now."""
    free, _ = torch.cuda.mem_get_info()
    return int(free * share)


def load_model(settings: ServerSettings) -> tuple[torch.nn.Module, frozenset[int]]:
    """The model, on its device and in evaluation mode, and its stop tokens."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    trust = settings.trust_remote_code
    config = AutoConfig.from_pretrained(settings.model_path, trust_remote_code=trust, **settings.overrides)
    model = AutoModelForCausalLM.from_pretrained(
        settings.model_path, config=config, dtype=getattr(torch, settings.dtype), trust_remote_code=trust
    )
    model.to(settings.device).eval().requires_grad_(False)
    if settings.ignore_eos:
        return model, frozenset()
    tokenizer = AutoTokenizer.from_pretrained(settings.tokenizer_path, trust_remote_code=trust)
    return model, end_of_turn_ids(tokenizer, model.generation_config, model.config)
