"""The tokens that end a response, for both the rollout and the reward."""

from __future__ import annotations

from typing import Any


def end_of_turn_ids(
    tokenizer: Any, generation_config: Any = None, model_config: Any = None
) -> frozenset[int]:
    """Ids of all tokens that end an assistant turn.

    Chat models have several: Qwen2.5's tokenizer names `<|im_end|>` and its generation configuration adds
    `<|endoftext|>`; Llama 3's generation configuration lists three.

    Args:
        tokenizer: a Transformers tokenizer, or None.
        generation_config: of the model, or None.
        model_config: of the model, or None.
    """
    ids: set[int] = set()
    for source in (tokenizer, generation_config, model_config):
        value = getattr(source, "eos_token_id", None)
        if value is None:
            continue
        ids.update([value] if isinstance(value, int) else value)
    return frozenset(ids)
