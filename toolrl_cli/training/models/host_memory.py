"""Estimates the memory that a stage needs on each of its machines: all of it on a CPU; on GPUs what rests beside them.

On a CPU verl trains in fp32, without recomputation, on rows packed to `tokens_at_once`. `HIDDEN`, `LOGITS` and
`PROCESS` are fitted to measured peaks of one process with a model of 134.5 M parameters: SFT of 750 tokens 4.7 GB (4.7
by this arithmetic), GRPO of 2,054 tokens 8.0 GB (7.7); and to 1.5 GiB of all 19 processes of a GRPO stage of the tiny
model. What is said of GPUs is derived from verl's source, not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolrl_cli.spec.kind_configs import EvaluateConfig, ExportConfig, RlConfig
from toolrl_cli.spec.stage_config import StageConfig, TrainingConfig
from toolrl_cli.training.device import Device
from toolrl_cli.training.models.gpu_memory import (
    GIB,
    INSIDES,
    WEIGHTS,
    Bounds,
    chosen_offload,
    network_states,
    parameters_text,
    states_text,
)
from toolrl_cli.training.models.model_size import ModelSize

HIDDEN = 90
"""Bytes a token, layer and hidden unit that wait for the backward pass, in fp32."""
LOGITS = 16
"""Bytes a token and word of the vocabulary: logits, their gradient and two copies, in fp32."""
PROCESS = 0.7 * GIB
"""Of one process with torch and verl."""
OTHERS: Bounds = (0.6 * GIB, 0.8 * GIB, 2.0 * GIB)
"""Of Ray and all the other processes of an RL stage."""
CACHE = 1.0 * GIB
"""The most that the Transformers server's keys and values take (`rollout.engine.EngineLimits`)."""
GPU_PROCESS = 3.0 * GIB
"""Host memory of one process with a CUDA context, of which a GPU has one that trains and one of vLLM; a guess."""
SURE = 0.6
LOOSE = 1.5
"""Factors of what depends on the rows: shorter than allowed, and torch's allocator at worst; chosen."""


@dataclass(frozen=True)
class HostNeed:
    """The memory that a stage needs on each of its machines, on top of what else runs there.

    Attributes:
        peak: bytes.
        how: how it was calculated, for people.
    """

    peak: Bounds
    how: str


def host_need(
    config: StageConfig, size: ModelSize, device: Device, options: Mapping[str, Any] | None = None
) -> HostNeed | None:
    """The memory that a stage needs on each of its machines; None of a kind that nothing is known of.

    Args:
        config: of the stage.
        size: of its model.
        device: `cpu` or `cuda`.
        options: verl's, of a stage that trains, with what the sweep lays over them.
    """
    if isinstance(config, EvaluateConfig) and device == "cpu":
        fixed = PROCESS + WEIGHTS * size.parameters
        return HostNeed(
            (fixed, fixed + CACHE / 2, fixed + 2 * CACHE), f"{parameters_text(size)} parameters in fp32"
        )
    if isinstance(config, ExportConfig):
        whole = WEIGHTS * size.parameters
        return HostNeed(
            (PROCESS, PROCESS + whole, PROCESS + 2 * whole), f"{parameters_text(size)} parameters in fp32"
        )
    if not isinstance(config, TrainingConfig):
        return None
    return _on_gpus(config, size) if device == "cuda" else _on_cpu(config, size, options or {})


def _on_cpu(config: TrainingConfig, size: ModelSize, options: Mapping[str, Any]) -> HostNeed:
    ranks, tokens = config.resources.gpus, config.tokens_at_once
    policy, critics, _ = (amount / config.resources.nodes for amount in network_states(config, size))
    fixed = policy + critics + PROCESS * ranks
    others: Bounds = (0, 0, 0)
    if isinstance(config, RlConfig):
        server = WEIGHTS * size.parameters * ranks
        reference = WEIGHTS * size.parameters / config.resources.nodes if config.reference else 0
        fixed += server + reference
        others = (OTHERS[0], OTHERS[1] + CACHE / 2 * ranks, OTHERS[2] + CACHE * ranks)
    hidden = size.layers * size.hidden * (2 * 4 if _recomputes(options) else HIDDEN)
    if _recomputes(options):
        hidden += 2 * INSIDES * size.hidden
    rows = ranks * tokens * (hidden + size.vocabulary * LOGITS)
    low, expected, high = (
        fixed + other + rows * share for other, share in zip(others, (SURE, 1.0, LOOSE), strict=True)
    )
    critic = ", with a critic" if config.networks == 2 else ""
    how = f"{states_text(config, size)}, {tokens} tokens at once in fp32{critic}"
    return HostNeed((low, expected, high), how)


def _on_gpus(config: TrainingConfig, size: ModelSize) -> HostNeed:
    gpus, offload = config.resources.gpus, chosen_offload(config, size)
    whole = WEIGHTS * size.parameters
    policy, critics, weights = (amount / config.resources.nodes for amount in network_states(config, size))
    states = policy + critics
    rests = {"never": 0, "idle": states - weights, "always": states}[offload]
    if config.reference:
        rests += whole / config.resources.nodes  # the reference model is always kept here
    if isinstance(config, RlConfig) and config.resources.rollout == "transformers":
        rests += gpus * (whole if config.precision == "fp32" else whole // 2)  # the server's, while it sleeps
    processes = GPU_PROCESS * gpus * (2 if isinstance(config, RlConfig) else 1)
    # each rank reads the whole model first where embeddings are tied, else one does
    peak = (processes / 2 + rests, processes + max(rests, whole), 2 * processes + rests + whole * gpus)
    told = {
        "never": "",
        "idle": ", weights and moments between uses",
        "always": ", weights, gradients and moments",
    }
    return HostNeed(peak, f"{gpus} GPUs' processes{told[offload]}")


def _recomputes(options: Mapping[str, Any]) -> bool:
    return any(name.endswith("enable_gradient_checkpointing") and value for name, value in options.items())
