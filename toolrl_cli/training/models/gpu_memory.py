"""Estimates the GPU memory of a training with verl 0.9.1, and decides about offloading.

Derived from verl's source, not measured. With FSDP2 each of N GPUs holds 1/N of the fp32 weights, their fp32
gradients and Adam's two fp32 moments (`model_dtype: fp32`, `reduce_dtype: fp32`), all at once during an update, even
if they are offloaded between updates (`EngineTrainModeCtx`). With LoRA the base has weights alone, and the adapters
have all of these; a critic is trained whole. The reference model is always kept in the host's memory
(`forward_only` → `CPUOffloadPolicy`). One layer is gathered in bf16 while the next is fetched; embeddings and head
stay gathered during a pass. verl packs sequences without padding and keeps the logits of a whole
micro-batch (`use_fused_kernels: False`).
"""

from __future__ import annotations

from dataclasses import dataclass

from toolrl_cli.spec.kind_configs import RlConfig
from toolrl_cli.spec.stage_config import Offload, TrainingConfig
from toolrl_cli.training.models.lora_modules import adapter_parameters
from toolrl_cli.training.models.model_size import ModelSize, model_size

Bounds = tuple[float, float, float]
"""Low, expected, high; bytes."""

GIB = 1 << 30
STATES = 4 + 4 + 8
"""Bytes a parameter: master weights, gradients, Adam's moments."""
WEIGHTS = 4
FRAMEWORK = 1.5 * GIB
"""Approximate bytes of a CUDA context, NCCL's buffers and cuBLAS workspaces on each GPU."""
ASLEEP: Bounds = (1.0 * GIB, 3.0 * GIB, 5.0 * GIB)
"""Bytes that vLLM keeps while it sleeps: context, CUDA graphs and NCCL. Reports: 4.75 GiB of a GPU in use (vLLM issue
17117), 1.5 GB of graphs alone (issue 47654)."""
SERVER_ASLEEP: Bounds = (0.3 * GIB, 0.6 * GIB, 1.5 * GIB)
"""Bytes that the Transformers server keeps while it sleeps, in a process of its own: the CUDA context; a guess."""
INSIDES = 64
"""Bytes a token and hidden unit of one layer under recomputation: about 20 for norms, attention and residuals, 8 for
each hidden unit of a gated MLP, of which Qwen2.5's have 5.3 to 5.8 times as many."""
LOGITS: Bounds = (2, 4, 10)
LOGITS_OF_ROLLOUTS: Bounds = (4, 4, 10)
LOGITS_WITH_ENTROPY: Bounds = (4, 6, 10)
"""Bytes a token and word of the vocabulary, in bf16: logits and their gradient (in place where the loss has no entropy
and flash-attn is there), the entropy's gradient; at most fp32 copies beside them."""
HEAD: Bounds = (2, 4, 8)
"""Bytes a weight of the head: gathered, its gradient, and the fp32 buffer in which that is reduced."""
RECOMPUTATION = (
    "actor_rollout_ref.model.enable_gradient_checkpointing",
    "model.enable_gradient_checkpointing",
)
"""verl's options that switch off that only one layer's insides are kept at a time."""
FRAGMENTS = 1.25
"""Factor by which torch's allocator may hold more temporary memory than is in use, at worst; chosen."""
FILLED = 0.9
"""Share of a GPU up to which `auto` assumes that an estimate fits; chosen."""


@dataclass(frozen=True)
class Need:
    """The memory that a training stage needs on each of its GPUs.

    Attributes:
        training: peak bytes during updates.
        resting: bytes of weights that stay on the GPU during generation.
        how: how it was calculated, for people.
    """

    training: Bounds
    resting: float
    how: str


def training_need(config: TrainingConfig, size: ModelSize, offload: Offload | None = None) -> Need:
    """The memory that a training stage needs.

    Args:
        config: of the stage.
        size: of its model; must have hidden size, layers and vocabulary.
        offload: whether weights and moments are offloaded; None for `chosen_offload`.
    """
    gpus, networks, tokens = config.resources.ranks, config.networks, config.tokens_at_once
    offload = offload or chosen_offload(config, size)
    states, resting = _states(config, size, offload)
    layers_at_once = size.layers if config.verl_option(*RECOMPUTATION) is False else 1
    hidden = tokens * size.hidden * (2 * size.layers + layers_at_once * INSIDES)
    rolls_out = isinstance(config, RlConfig)
    layer = 2 * 2 * size.parameters / max(1, size.layers)  # one gathered, the next one fetched
    logits = LOGITS_WITH_ENTROPY if config.entropy else LOGITS_OF_ROLLOUTS if rolls_out else LOGITS
    server = SERVER_ASLEEP if config.resources.rollout == "transformers" else ASLEEP
    asleep: Bounds = server if rolls_out else (0, 0, 0)
    low, expected, high = (
        FRAMEWORK
        + rollout
        + states
        + more * (hidden + layer + size.vocabulary * (tokens * word + size.hidden * head))
        for rollout, word, head, more in zip(asleep, logits, HEAD, (1.0, 1.0, FRAGMENTS), strict=True)
    )
    told = {"never": "", "idle": ", offloaded between uses", "always": ", all of it offloaded"}[offload]
    critic = ", with a critic" if networks == 2 else ""
    how = f"{states_text(config, size)} / {gpus} GPUs, {tokens} tokens at once{critic}{told}"
    return Need((low, expected, high), resting, how)


def serving_need(
    size: ModelSize, precision: str, share: float, room: float | None, rests: float = 0
) -> Bounds:
    """Bytes that generating with Transformers takes on one GPU: whole weights, and a share of what is then free.

    The cache grows as it is used, up to that share.

    Args:
        size: of the model.
        precision: of its weights.
        share: of the free memory, for the keys and values.
        room: bytes of the GPU, or None; then nothing is known of the cache.
        rests: bytes that a trainer keeps there meanwhile.
    """
    fixed = rests + FRAMEWORK + (WEIGHTS if precision == "fp32" else WEIGHTS // 2) * size.parameters
    most = 0 if room is None else max(0.0, room - fixed) * share
    return fixed, fixed + most / 2, fixed + most


def chosen_offload(config: TrainingConfig, size: ModelSize | None = None) -> Offload:
    """Whether weights and moments are offloaded: `resources.offload`, or for `auto` the fastest choice that fits.

    `auto` offloads between uses, or never for SFT, whose one network is never idle. It offloads always if the estimate
    is more than 90 % of `resources.gpu_memory`; without `gpu_memory` or the model's size, it assumes that the training
    fits. The choice does not depend on this machine, so that a plan made elsewhere stays valid.

    Args:
        config: of the stage.
        size: of its model, if already known.
    """
    wanted = config.resources.offload
    modest: Offload = "idle" if config.offload_while_idle else "never"
    if wanted != "auto":
        return modest if wanted == "idle" else wanted
    room = config.resources.gpu_memory
    size = size or model_size(config.model)
    if room is None or size is None or not size.hidden:
        return modest
    _, expected, _ = training_need(config, size, modest).training
    return modest if expected <= FILLED * room * GIB else "always"


def parameters_text(size: ModelSize) -> str:
    """`1.54 G`, `0.2 M`."""
    return size_text(size.parameters)


def size_text(parameters: int) -> str:
    """`1.54 G`, `0.2 M`."""
    millions = parameters / 1e6
    return f"{millions / 1000:.3g} G" if millions >= 1000 else f"{millions:.2g} M"


def network_states(config: TrainingConfig, size: ModelSize) -> tuple[int, int, int]:
    """Bytes of all ranks together: weights, gradients and moments of the policy and of critics; weights of all."""
    weight, critics = config.bytes_a_weight, (config.networks - 1) * size.parameters
    states = STATES * weight // WEIGHTS
    if config.lora is None:
        policy, weights = states * size.parameters, weight * size.parameters
    else:
        adapters = adapter_parameters(config.lora, config.model, size)
        policy = weight * size.parameters + states * adapters
        weights = weight * (size.parameters + adapters)
    return policy, STATES * critics, weights + WEIGHTS * critics


def states_text(config: TrainingConfig, size: ModelSize) -> str:
    """What the policy's states come from, for people."""
    weight = config.bytes_a_weight
    states = STATES * weight // WEIGHTS
    if config.lora is None:
        return f"{parameters_text(size)} parameters × {states} bytes"
    adapters = size_text(adapter_parameters(config.lora, config.model, size))
    return f"({parameters_text(size)} parameters × {weight} bytes + {adapters} of LoRA × {states})"


def _states(config: TrainingConfig, size: ModelSize, offload: Offload) -> tuple[float, float]:
    """Bytes of weights, gradients and moments on each GPU while training, and of weights while generating."""
    if offload == "always":
        return 0.0, 0.0
    policy, critics, weights = (amount / config.resources.ranks for amount in network_states(config, size))
    if offload == "idle" and config.offload_while_idle:  # actor and critic take turns
        return max(policy, critics), 0.0
    return policy + critics, weights
