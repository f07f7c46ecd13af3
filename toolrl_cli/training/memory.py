"""What a stage that ran out of memory can do with less of it and the same result. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEAST_UTILIZATION, MOST_UTILIZATION, STEP = 0.2, 0.9, 0.1
"""Bounds of vLLM's share of a GPU's memory, and by how much it is changed."""

_OWN_BATCHES = re.compile(r"micro_batch_size|max_token_len")
_VLLM_TOO_GREEDY = "less than desired GPU memory utilization"
_VLLM_TOO_MODEST = "No available memory for the cache blocks"


@dataclass(frozen=True)
class Change:
    """A setting of transport to change.

    Attributes:
        key: dotted key into the stage's config.
        old, new: its values.
        label: what people call it.
    """

    key: str
    old: int | float
    new: int | float
    label: str

    def __str__(self) -> str:
        return f"{self.label} {self.old} → {self.new}"


def with_less_memory(kind: str, config: Mapping[str, Any], message: str = "") -> Change | str:
    """The change to try next, or why there is none and what else helps, in one clause.

    Args:
        kind, config: of the stage, as the attempt had it that ran out of memory.
        message: the cause of the failure; vLLM says there whether its share was too large or too small.
    """
    if kind == "rl" and isinstance(config.get("rl"), Mapping):
        if any(_OWN_BATCHES.search(key) for key in config.get("verl_options", ())):
            return "the micro-batch is set under verl.rl; make it smaller there"
        return _utilization(config, message) or _rl(config["rl"])
    if kind == "sft" and isinstance(config.get("sft"), Mapping):
        if any(_OWN_BATCHES.search(key) for key in config.get("verl_options", ())):
            return "the micro-batch is set under verl.sft; make it smaller there"
        sft, gpus = config["sft"], config.get("resources", {}).get("gpus", 1)
        share = max(1, sft["batch_size"] // gpus)  # a device is given no more, whatever is asked for
        return _divided("sft.micro_batch_size", sft["micro_batch_size"], "a shorter sft.max_length", share)
    if kind == "evaluate" and isinstance(config.get("evaluation"), Mapping):
        batch = config["evaluation"]["batch_size"]
        if batch > 1:
            return Change("evaluation.batch_size", batch, batch // 2, "batch")
        return "the batch is 1 already; a device with more memory helps"
    return "a device with more memory helps"


def _utilization(config: Mapping[str, Any], message: str) -> Change | None:
    now = config.get("resources", {}).get("gpu_memory_utilization")
    if now is None:
        return None
    if _VLLM_TOO_GREEDY in message:
        wanted = round(max(LEAST_UTILIZATION, now - STEP), 3)
    elif _VLLM_TOO_MODEST in message:
        wanted = round(min(MOST_UTILIZATION, now + STEP), 3)
    else:
        return None
    if wanted == now:
        return None
    return Change("resources.gpu_memory_utilization", now, wanted, "vLLM's share of GPU memory")


def _rl(rl: Mapping[str, Any]) -> Change | str:
    else_helps = "a shorter rl.max_response_length"
    if rl["micro_batch"] is not None:
        return _divided("rl.micro_batch", rl["micro_batch"], else_helps)
    longest = rl["max_prompt_length"] + rl["max_response_length"]  # verl fails below one whole sequence
    tokens = rl["micro_batch_tokens"]
    smaller = max(tokens // 2, longest)
    if smaller >= tokens:
        return f"the micro-batch is {tokens} tokens, one sequence, already; {else_helps} or more GPUs help"
    return Change("rl.micro_batch_tokens", tokens, smaller, "micro-batch tokens")


def _divided(key: str, asked: int, else_helps: str, most: int | None = None) -> Change | str:
    """A divisor, so that whatever the old size divided the new one does: verl insists on whole micro-batches."""
    size = asked if most is None else min(asked, most)
    if size <= 1:
        return f"the micro-batch is 1 already; {else_helps} or more GPUs help"
    smaller = next(size // n for n in range(2, size + 1) if size % n == 0)
    return Change(key, asked, smaller, "micro-batch")
