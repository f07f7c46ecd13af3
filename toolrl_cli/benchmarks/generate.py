"""Answers of a model folder to a benchmark's prompts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from toolrl_cli.errors import BenchmarkError
from toolrl_cli.training.device import Device

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn.

    Attributes:
        temperature: 0 is greedy.
        max_prompt_tokens: a longer prompt cannot be run; it is never cut, because its tools would go.
        max_tokens: of an answer.
        batch: answers generated at once.
        seed: of the draws where temperature is above 0.
        gpu_share: share of the free GPU memory that the key-value cache may take; no part of what comes out.
    """

    temperature: float
    max_prompt_tokens: int
    max_tokens: int
    batch: int
    seed: int = 0
    gpu_share: float = 0.6


def generate(
    model_path: str,
    prompts: Sequence[Messages],
    sampling: Sampling,
    device: Device,
    dtype: str,
    stop_requested: Callable[[], bool] = lambda: False,
) -> list[str | None]:
    """One answer for each prompt, tags kept, without the end-of-turn token.

    Args:
        model_path: Hugging Face folder or hub name with a chat template.
        prompts: chat messages; the last is the user's.
        dtype: torch's name of the weights' type, such as `float32`.
        stop_requested: asked between tokens.

    Returns:
        The answers in order; None for a prompt that is longer than the limit.

    Raises:
        BenchmarkError: the folder has no tokenizer, no chat template, or is no causal language model.
        InterruptedError: asked to stop; nothing is written.
    """
    if device == "cpu":
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is first imported
    import torch

    from toolrl_cli.training.cpu.cpu_options import decoding_threads
    from toolrl_cli.training.rollout.engine import EngineLimits, GenerationEngine
    from toolrl_cli.training.rollout.model_loading import gpu_cache_bytes
    from toolrl_cli.training.rollout.sampling import SamplingParams
    from toolrl_cli.training.rollout.stop_tokens import end_of_turn_ids

    tokenizer, model = _load(model_path, getattr(torch, dtype), device)
    if device == "cpu":
        torch.set_num_threads(decoding_threads(model.num_parameters(), torch.get_num_threads()))
    stop = end_of_turn_ids(tokenizer, model.generation_config, model.config)
    limits = EngineLimits(rows=sampling.batch)
    if device == "cuda":
        limits = replace(limits, cache_bytes=gpu_cache_bytes(sampling.gpu_share))
    engine = GenerationEngine(model, stop, limits, seed=sampling.seed)
    params = SamplingParams(sampling.max_tokens, sampling.temperature)
    answers: list[str | None] = [None] * len(prompts)
    for index, messages in enumerate(prompts):
        ids = _token_ids(tokenizer, messages, model_path)
        if len(ids) <= sampling.max_prompt_tokens:
            engine.add(str(index), ids, params)
    while engine.busy:
        if stop_requested():
            raise InterruptedError("asked to stop")
        for done in engine.step():
            tokens = done.tokens[:-1] if done.stop_reason == "completed" else done.tokens
            answers[int(done.request_id)] = tokenizer.decode(tokens, skip_special_tokens=False)
    return answers


def _load(model_path: str, dtype: Any, device: Device) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    hint = "expected a Hugging Face folder of a causal language model with its tokenizer"
    try:
        tokenizer = AutoTokenizer.from_pretrained(model_path)
        model = AutoModelForCausalLM.from_pretrained(model_path, dtype=dtype)
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"does not load: {str(error).splitlines()[0]}", model_path, hint) from error
    if tokenizer.chat_template is None:
        raise BenchmarkError("the tokenizer has no chat template", model_path, "use the instruct model")
    return tokenizer, model.to(device).eval()


def _token_ids(tokenizer: Any, messages: Messages, model_path: str) -> list[int]:
    try:
        encoded = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    except Exception as error:  # templates are programs of the model's authors; any fault in one is theirs
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BenchmarkError(f"the chat template refuses the prompt: {told}", model_path) from error
    return list(encoded["input_ids"])
