"""Tiny random models for the rollout's tests."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config
from transformers import Qwen2ForCausalLM as Qwen2

VOCABULARY = 97


def tiny_model(family: str = "qwen2", seed: int = 0) -> torch.nn.Module:
    """A model whose predictions are far from uniform, so that a wrong position or mask changes them."""
    torch.manual_seed(seed)
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,
        "max_position_embeddings": 256,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    match family:
        case "qwen2":
            model = Qwen2(Qwen2Config(tie_word_embeddings=True, **shape))
        case "llama":
            model = LlamaForCausalLM(LlamaConfig(**shape))
        case "mistral":
            model = MistralForCausalLM(MistralConfig(sliding_window=6, **shape))
        case _:
            raise ValueError(family)
    return model.eval()


def full_log_probs(
    model: torch.nn.Module, prompt: list[int], response: list[int], temperature: float = 1.0
) -> torch.Tensor:
    """Log-probabilities of the response's tokens, from one ordinary pass over the whole sequence."""
    ids = torch.tensor([prompt + response])
    with torch.no_grad():
        logits = model(ids).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(response).unsqueeze(1)).squeeze(1)
