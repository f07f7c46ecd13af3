"""New prompts read by the model: what is known of them copied, the rest run, a limited number of tokens at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from toolrl_cli.training.rollout.batch_rows import Prompt
from toolrl_cli.training.rollout.keys_values.kv_slots import KVSlots
from toolrl_cli.training.rollout.keys_values.prefixes import PrefixStore, readings
from toolrl_cli.training.rollout.passes import Extend, Prefill


def read_prompts(
    model: torch.nn.Module, cache: KVSlots, new: Sequence[Prompt], most: int, device: torch.device
) -> None:
    """Store keys and values of whole prompts, and leave them the logits after their last tokens.

    Args:
        model: whose attention is `slot_attention`.
        cache: of prompts.
        new: prompts with slots in it.
        most: tokens of one pass, unless one prompt has more.
        device: of the model.
    """
    for known in (False, True):
        waiting = [prompt for prompt in new if bool(prompt.reused) == known]
        while waiting:
            count, tokens = 1, unread(waiting[0])
            while count < len(waiting) and tokens + unread(waiting[count]) <= most:
                tokens += unread(waiting[count])
                count += 1
            _pass(model, cache, waiting[:count], device)
            waiting = waiting[count:]


def read_what_is_new(
    model: torch.nn.Module,
    cache: KVSlots,
    new: Sequence[Prompt],
    stored: Sequence[Prompt],
    kept: PrefixStore,
    most: int,
    device: torch.device,
) -> None:
    """As `read_prompts`, but beginnings that others have are read once.

    Args:
        stored: prompts that are in the cache already.
        kept: sequences that have ended.
    """
    for wave in readings(new, stored, kept):
        for reading in wave:
            prompt, source = reading.prompt, reading.source
            if source is not None:
                layers = (
                    cache.read(source.slot, reading.known) if isinstance(source, Prompt) else source.layers
                )
                cache.write(prompt.slot, layers, reading.known)
            prompt.reused = reading.known
        read_prompts(model, cache, [reading.prompt for reading in wave], most, device)


def unread(prompt: Prompt) -> int:
    """Number of a prompt's tokens that the model has to read."""
    return len(prompt.tokens) - prompt.reused


def _pass(model: torch.nn.Module, cache: KVSlots, prompts: Sequence[Prompt], device: torch.device) -> None:
    """One pass over prompts, of all or none of which something is known."""
    counts = [unread(prompt) for prompt in prompts]
    lengths = torch.tensor(counts, device=device)
    slots = [prompt.slot for prompt in prompts]
    ids = [token for prompt in prompts for token in prompt.tokens[prompt.reused :]]
    positions = torch.cat([torch.arange(prompt.reused, len(prompt.tokens)) for prompt in prompts])
    step: Prefill | Extend
    if prompts[0].reused:
        step = Extend(cache, slots, [prompt.reused for prompt in prompts], counts)
    else:
        step = Prefill(cache, torch.tensor(slots, device=device), lengths)
    logits = model(
        input_ids=torch.tensor([ids], device=device),
        position_ids=positions.unsqueeze(0).to(device),
        use_cache=False,
        logits_to_keep=lengths.cumsum(0) - 1,
        toolrl_pass=step,
    ).logits[0]
    for prompt, last in zip(prompts, logits, strict=True):
        prompt.logits = last
