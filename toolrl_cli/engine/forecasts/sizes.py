"""Arithmetic of disk and GPU memory: what follows from a model's size, for want of anything measured.

Every number here is derived, not measured, and is labelled so where it is shown.
"""

from __future__ import annotations

from toolrl_cli.engine.forecasts.ranges import NONE, Range, exactly
from toolrl_cli.engine.forecasts.work import Work
from toolrl_cli.spec.stage import TRAINING
from toolrl_cli.training.model_size import ModelSize

WEIGHT, GRADIENT, MOMENTS = 4, 4, 8
"""Bytes a parameter: verl keeps fp32 master weights, fp32 gradients and Adam's two fp32 moments."""
CHECKPOINT = WEIGHT + MOMENTS
"""Bytes a parameter that verl saves: model and optimiser shards; gradients are not saved."""
EXPORT = 2
"""Bytes a parameter of an exported model; verl 0.9.1's merger writes bf16 whatever the training's precision."""
GIB = 1 << 30
BYTES = {"TiB": 1 << 40, "GiB": GIB, "MiB": 1 << 20, "KiB": 1 << 10}
FRAMEWORK = 1.5 * GIB
"""Bytes of a CUDA context, NCCL's buffers and cuBLAS workspaces on each GPU, about."""
RECORDS = 1 << 19
"""Bytes of logs and metrics that a stage leaves, about."""
CHARACTERS = 6
"""Bytes a token in dumped rollouts and answers: text of about four characters, and its quoting."""
FIELDS = 1500
"""Bytes of what is dumped with each of them: scores, names, the gold answer; about."""


def disk_text(amount: float) -> str:
    """`512 MiB`, `3.2 GiB`."""
    unit = next((unit for unit, size in BYTES.items() if amount >= size), "KiB")
    return f"{number_text(amount / BYTES[unit])} {unit}"


def number_text(hours: float) -> str:
    """`0.25`, `14`, `1,020`."""
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def disk(work: Work) -> Range | None:
    """Bytes that a stage leaves on disk; None where the model's size is not known.

    A training stage keeps its newest checkpoints, and for a moment one more; verl's PPO saves a critic of the
    same size. RL also dumps every rollout as text.
    """
    if work.kind == "evaluate":
        return _text(work) * work.units
    if work.size is None:
        return None
    if work.kind == "export":
        return exactly(work.size.parameters * EXPORT + RECORDS)
    one = work.size.parameters * CHECKPOINT * _networks(work)
    kept = _kept(work)
    text = _text(work) * ((work.steps or 0) * work.units) if work.kind == "rl" else NONE
    return Range(kept * one, kept * one + RECORDS, (kept + 1) * one + RECORDS) + text


def gpu_memory(work: Work, gpu_total: int | None) -> tuple[Range, str] | None:
    """Peak bytes on each GPU of a training stage, and how it was reckoned; None where that cannot be.

    With FSDP2 each of N GPUs holds 1/N of weights, gradients and moments (16 bytes a parameter together) and
    gathers one layer at a time. With gradient checkpointing, which is verl's default, activations are one
    hidden state a token and layer (2 bytes each) and one layer's insides (about 34 bytes a token and hidden
    unit, Korthikanti et al. 2022); the logits of a micro-batch, in bf16 and again in fp32 with their gradient, are
    often more. While it generates, vLLM has its share of the whole GPU beside the trainer's resting weights.

    Args:
        work: what is trained.
        gpu_total: bytes of one GPU here, or None.
    """
    size = work.size
    if work.kind not in TRAINING or size is None or not size.hidden:
        return None
    states, resting, kept = _states(work, size)
    tokens = _micro_tokens(work)
    hidden = tokens * size.hidden * (2 * size.layers + 34)
    logits = tokens * size.vocabulary * (2 + 4 + 4)
    layer = 2 * 2 * size.parameters / max(1, size.layers)  # one gathered, the next one fetched
    training = FRAMEWORK + states + layer
    # frameworks fuse the loss in parts (low) or keep logits for several micro-batches' worth (high)
    found = Range(training + hidden, training + hidden + logits, 1.25 * (training + hidden + logits))
    how = f"arithmetic: {parameters_text(size)} parameters × 16 bytes / {work.gpus} GPUs, {tokens} tokens at once"
    how += kept
    resources = work.config.get("resources") or {}
    if work.kind == "rl" and resources.get("rollout", "auto") != "transformers":
        share = float(resources.get("gpu_memory_utilization", 0.0))
        if gpu_total is None:
            how += f"; vLLM takes {share:.0%} of the GPU beside {resting / GIB:.1f} GiB"
        else:
            generating = share * gpu_total + resting
            found = Range(*(max(value, generating) for value in (found.low, found.expected, found.high)))
            how += f"; vLLM's {share:.0%} of {gpu_total / GIB:.0f} GiB"
    return found, how


def _text(work: Work) -> Range:
    """Bytes of one dumped sequence: its fields, and prompt and response below their limits."""
    most = work.length * CHARACTERS
    return Range(FIELDS / 4, FIELDS + most / 4, 2 * FIELDS + most)


def _states(work: Work, size: ModelSize) -> tuple[float, float, str]:
    """Bytes of weights, gradients and moments on each GPU while training, and while generating; and a remark.

    verl's offloading moves them to the host between uses: actor and critic then take turns. Under FSDP2's
    offload policy they stay there.
    """
    options = work.config.get("verl_options") or {}
    one = size.parameters * (WEIGHT + GRADIENT + MOMENTS) / work.gpus
    networks = _networks(work)
    critic = ", with a critic" if networks == 2 else ""
    wanted = (work.config.get("resources") or {}).get("offload", "never")
    if wanted == "always" or any(
        name.endswith("offload_policy") and value for name, value in options.items()
    ):
        return 0.0, 0.0, f"{critic}, all of it offloaded"
    if wanted == "idle" or any(name.endswith("param_offload") and value for name, value in options.items()):
        return one, 0.0, f"{critic}, offloaded between uses"
    return one * networks, WEIGHT * size.parameters * networks / work.gpus, critic


def _networks(work: Work) -> int:
    return 2 if work.kind == "rl" and work.what == "ppo" else 1


def _kept(work: Work) -> int:
    settings = work.config.get(work.kind) or {}
    if work.kind == "sft":
        return 2 if settings.get("save_every") else 1
    every, steps = settings.get("save_every") or 1, work.steps or 1
    return max(1, min(int(settings.get("keep_checkpoints", 1)), -(-steps // every)))


def _micro_tokens(work: Work) -> int:
    settings = work.config.get(work.kind) or {}
    if work.kind == "sft":
        return int(settings.get("micro_batch_size", 1)) * work.length
    if settings.get("micro_batch"):
        return int(settings["micro_batch"]) * work.length
    return int(settings.get("micro_batch_tokens", work.length))


def parameters_text(size: ModelSize) -> str:
    """`1.54 G`, `0.2 M`."""
    millions = size.parameters / 1e6
    return f"{millions / 1000:.3g} G" if millions >= 1000 else f"{millions:.2g} M"
