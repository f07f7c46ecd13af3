"""How much GPU memory a training of verl 0.9.1 takes by arithmetic, and where its weights rest so that it fits.

Derived from verl's source, not measured. With FSDP2 each of N GPUs holds 1/N of the fp32 weights, their fp32
gradients and Adam's two fp32 moments (`model_dtype: fp32`, `reduce_dtype: fp32`), all at once while a network is
updated, whatever is offloaded between updates (`EngineTrainModeCtx`). The reference model always rests in the host's
memory (`forward_only` → `CPUOffloadPolicy`). One layer is gathered in bf16 and the next fetched; embeddings and head
are gathered for the length of a pass. verl packs sequences without padding and keeps the logits of a whole
micro-batch (`use_fused_kernels: False`).
"""

from __future__ import annotations

from dataclasses import dataclass

from toolrl_cli.spec.kind_configs import RlConfig
from toolrl_cli.spec.stage_config import Offload, TrainingConfig
from toolrl_cli.training.models.model_size import ModelSize, model_size

Bounds = tuple[float, float, float]
"""Low, expected, high; bytes."""

GIB = 1 << 30
STATES = 4 + 4 + 8
"""Bytes a parameter: master weights, gradients, Adam's moments."""
WEIGHTS = 4
FRAMEWORK = 1.5 * GIB
"""A CUDA context, NCCL's buffers and cuBLAS workspaces on each GPU, about."""
ASLEEP: Bounds = (1.0 * GIB, 3.0 * GIB, 5.0 * GIB)
"""What vLLM keeps while it sleeps: its context, CUDA graphs and NCCL. Reports: 4.75 GiB of a GPU in use (vLLM issue
17117), 1.5 GB of graphs alone (issue 47654)."""
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
FRAGMENTS = 1.25
"""How much more than it is using torch may hold of what comes and goes, at worst: chosen."""
FILLED = 0.9
"""Share of a GPU up to which `auto` takes an expectation to fit: chosen."""


@dataclass(frozen=True)
class Need:
    """What a training stage takes of each of its GPUs.

    Attributes:
        training: peak bytes while it trains.
        resting: bytes of its weights while it generates.
        how: how it was reckoned.
    """

    training: Bounds
    resting: float
    how: str


def training_need(config: TrainingConfig, size: ModelSize, offload: Offload | None = None) -> Need:
    """What a stage that trains takes.

    Args:
        config: of the stage.
        size: of its model; with hidden size, layers and vocabulary.
        offload: where weights and moments rest; None: as `chosen_offload` says.
    """
    gpus, networks, tokens = config.resources.gpus, config.networks, config.tokens_at_once
    offload = offload or chosen_offload(config, size)
    states, resting = _states(config, size, offload)
    hidden = tokens * size.hidden * (2 * size.layers + INSIDES)
    rolls_out = isinstance(config, RlConfig)
    layer = 2 * 2 * size.parameters / max(1, size.layers)  # one gathered, the next one fetched
    logits = LOGITS_WITH_ENTROPY if config.entropy else LOGITS_OF_ROLLOUTS if rolls_out else LOGITS
    asleep = ASLEEP if rolls_out and config.resources.rollout != "transformers" else (0, 0, 0)
    low, expected, high = (
        FRAMEWORK
        + vllm
        + states
        + more * (hidden + layer + size.vocabulary * (tokens * word + size.hidden * head))
        for vllm, word, head, more in zip(asleep, logits, HEAD, (1.0, 1.0, FRAGMENTS), strict=True)
    )
    told = {"never": "", "idle": ", offloaded between uses", "always": ", all of it offloaded"}[offload]
    critic = ", with a critic" if networks == 2 else ""
    how = f"{parameters_text(size)} parameters × {STATES} bytes / {gpus} GPUs, {tokens} tokens at once{critic}{told}"
    return Need((low, expected, high), resting, how)


def chosen_offload(config: TrainingConfig, size: ModelSize | None = None) -> Offload:
    """Where weights and moments rest: `resources.offload`, and for `auto` the quickest that fits.

    That is between uses, or where the one network is never idle (SFT), never; and always where the expectation is more
    than 90 % of `resources.gpu_memory`. Where that is not given, or the model's size not known, nothing says it does
    not fit. It depends on nothing of this machine, so that a plan made elsewhere holds.

    Args:
        config: of the stage.
        size: of its model, where it is known already.
    """
    wanted = config.resources.offload
    ends = [name.rpartition(".")[2] for name, value in config.verl_options.items() if value]
    if "offload_policy" in ends:
        return "always"
    if "param_offload" in ends:
        wanted = "idle"
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
    millions = size.parameters / 1e6
    return f"{millions / 1000:.3g} G" if millions >= 1000 else f"{millions:.2g} M"


def _states(config: TrainingConfig, size: ModelSize, offload: Offload) -> tuple[float, float]:
    """Bytes of weights, gradients and moments on each GPU while training, and of weights while generating."""
    if offload == "always":
        return 0.0, 0.0
    share = size.parameters / config.resources.gpus
    if offload == "idle" and config.offload_while_idle:  # actor and critic take turns
        return STATES * share, 0.0
    return STATES * share * config.networks, WEIGHTS * share * config.networks
