"""Arithmetic of disk, GPU memory and an export's time: what follows from a model's size, for want of anything measured.

Every number here is derived, not measured, and is labelled so where it is shown.
"""

from __future__ import annotations

from toolrl_cli.planning.forecasts.ranges import Range, exactly
from toolrl_cli.planning.forecasts.work import Work
from toolrl_cli.spec.kind_configs import EvaluateConfig, ExportConfig, RlConfig, SftConfig
from toolrl_cli.spec.stage_config import TrainingConfig
from toolrl_cli.training.checking.config_check import planned_options
from toolrl_cli.training.device import Device, planned_device
from toolrl_cli.training.models.gpu_memory import WEIGHTS, parameters_text, serving_need, training_need
from toolrl_cli.training.models.host_memory import host_need
from toolrl_cli.training.models.lora_modules import adapter_parameters
from toolrl_cli.training.models.model_size import ModelSize
from toolrl_cli.training.verl_options import rollout_name

CHECKPOINT = WEIGHTS + 8
"""Bytes a parameter that verl saves: fp32 weights and Adam's two moments; gradients are not saved. With LoRA the base
has no moments, and is saved all the same."""
EXPORT = {"fp32": 4, "bf16": 2}
"""Bytes a parameter of an exported model; an export reads fp32 weights whatever it writes."""
DISK_SPEED = (2e9, 3e8, 5e7)
"""Bytes a second of a fast disk, a usual one and a share on the network: chosen, not measured."""
START_UP = Range(5.0, 15.0, 60.0)
"""Seconds until a process has imported torch and verl, from a local disk to a cold share on the network: chosen."""
GIB = 1 << 30
BYTES = {"TiB": 1 << 40, "GiB": GIB, "MiB": 1 << 20, "KiB": 1 << 10}
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
    same size. RL also keeps the weights of its best checkpoint, and dumps every rollout as text. An export of a
    step on the way counts the weights that the training keeps for it.
    """
    if isinstance(work.config, EvaluateConfig):
        return _text(work) * work.units
    if work.size is None:
        return None
    if isinstance(work.config, ExportConfig):
        kept = EXPORT["fp32"] if work.config.step is not None else 0
        return exactly(work.size.parameters * (EXPORT[work.config.dtype] + kept) + RECORDS)
    if work.training is None:
        return None
    one = _checkpoint(work.training, work.size)
    kept = _kept(work.training, work.steps)
    fixed = Range(kept * one, kept * one + RECORDS, (kept + 1) * one + RECORDS)
    if not isinstance(work.config, RlConfig):
        return fixed
    best = work.size.parameters * work.training.bytes_a_weight  # none of its own while it is among the newest
    return fixed + Range(0, best, best) + _text(work) * ((work.steps or 0) * work.units)


def export_seconds(work: Work) -> tuple[Range, str] | None:
    """How long an export takes, which is reading and writing, and how that was reckoned; None where it cannot be."""
    if not isinstance(work.config, ExportConfig) or work.size is None:
        return None
    amount = work.size.parameters * (EXPORT["fp32"] + EXPORT[work.config.dtype])
    seconds = Range(*(amount / speed for speed in DISK_SPEED)) + START_UP
    return seconds, f"arithmetic: {amount / 1e9:.3g} GB read and written, at 2 to 0.05 GB/s"


def gpu_memory(work: Work, gpu_total: int | None) -> tuple[Range, str] | None:
    """Peak bytes on each GPU of a stage, and how it was reckoned; None where that cannot be.

    While it generates, vLLM has its share of the whole GPU beside the trainer's resting weights; the Transformers
    server has weights of its own, and a share of what is free then.

    Args:
        work: what is done.
        gpu_total: bytes of one GPU, or None.
    """
    size, resources, config = work.size, work.config.resources, work.config
    if size is None:
        return None
    share = resources.gpu_memory_utilization
    if isinstance(config, EvaluateConfig):
        alone = Range(*serving_need(size, config.precision, share, gpu_total))
        return alone, f"arithmetic: {parameters_text(size)} parameters in {config.precision}, and a cache"
    if work.training is None or not size.hidden:
        return None
    need = training_need(work.training, size)
    found, how = Range(*need.training), f"arithmetic: {need.how}"
    if not isinstance(config, RlConfig):
        return found, how
    # other machines are taken to have vLLM
    here = planned_device("auto") == "cuda"
    if (rollout_name(resources.rollout, "cuda") if here else resources.rollout) == "transformers":
        serving = serving_need(size, config.precision, share, gpu_total, need.resting)
        found = Range(*(max(pair) for pair in zip(need.training, serving, strict=True)))
        how += f"; or generating, Transformers with {share:.0%} of what is free then"
    elif gpu_total is None:
        how += f"; vLLM takes {share:.0%} of the GPU beside {need.resting / GIB:.1f} GiB"
    else:
        generating = share * gpu_total + need.resting
        found = Range(*(max(value, generating) for value in need.training))
        how += f"; vLLM's {share:.0%} of {gpu_total / GIB:.0f} GiB"
    return found, how


def memory(work: Work) -> tuple[Range | None, str]:
    """Peak bytes of a stage on its machine, and how that was reckoned, or why it is not known."""
    given = work.config.resources.memory if work.training is not None else None
    if given is not None:
        return Range(*[given * GIB] * 3), "given: resources.memory"
    if work.size is None:
        return None, "unknown: the model's size is not known here"
    device: Device = "cpu" if work.device == "cpu" else "cuda"
    options = planned_options(work.config, device) if isinstance(work.config, (RlConfig, SftConfig)) else {}
    need = host_need(work.config, work.size, device, options)
    if need is None:
        return None, f"unknown: nothing to reckon an {work.kind} stage's memory by"
    return Range(*need.peak), f"arithmetic: {need.how}"


def _checkpoint(config: TrainingConfig, size: ModelSize) -> int:
    """Bytes of one checkpoint; verl saves a critic in full precision."""
    weight = config.bytes_a_weight
    states = CHECKPOINT * weight // WEIGHTS
    critics = CHECKPOINT * (config.networks - 1) * size.parameters
    if config.lora is None:
        return states * size.parameters + critics
    return weight * size.parameters + states * adapter_parameters(config.lora, config.model, size) + critics


def _text(work: Work) -> Range:
    """Bytes of one dumped sequence: its fields, and prompt and response below their limits."""
    most = work.length * CHARACTERS
    return Range(FIELDS / 4, FIELDS + most / 4, 2 * FIELDS + most)


def _kept(config: TrainingConfig, steps: int | None) -> int:
    """How many checkpoints are on disk in the end."""
    every, made = config.save_every or 1, steps or 1
    return (
        config.kept_checkpoints if steps is None else max(1, min(config.kept_checkpoints, -(-made // every)))
    )
