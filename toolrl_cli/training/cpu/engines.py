"""verl's FSDP2 engines on the CPU, for language models and value models."""

from __future__ import annotations

import torch
from transformers import AutoModelForTokenClassification
from verl.utils.torch_dtypes import PrecisionType
from verl.workers.engine import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead, FSDPEngineWithValueHead


class CpuEngineWithLMHead(FSDPEngineWithLMHead):
    """verl's language-model engine; it runs on the CPU as it is, it only has to be known for it."""


class CpuEngineWithValueHead(FSDPEngineWithValueHead):
    """verl's value-model engine with a model loader of its own.

    verl's loader asks for flash attention whatever the configuration says, and where that is missing for a
    value head from `trl`. Here the configured attention is used on a token classifier with one label.
    """

    def _build_module(self) -> torch.nn.Module:
        config = self.model_config.hf_config
        config.num_labels = 1
        # dropout would give another value for the same state in every pass; families name it differently
        config.classifier_dropout = 0.0
        config.hidden_dropout = 0.0
        config.summary_dropout_prob = 0.0
        dtype = PrecisionType.to_dtype(self.engine_config.model_dtype or "fp32")
        module = AutoModelForTokenClassification.from_pretrained(
            self.model_config.local_path,
            config=config,
            dtype=dtype,
            trust_remote_code=self.model_config.trust_remote_code,
        )
        module.to(dtype)
        if self.model_config.enable_gradient_checkpointing:
            module.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        return module


def register_engines() -> None:
    """Make both engines known to verl for the device `cpu` and the strategy `fsdp2`."""
    for model_type, engine in (
        ("language_model", CpuEngineWithLMHead),
        ("value_model", CpuEngineWithValueHead),
    ):
        EngineRegistry.register(model_type=model_type, backend="fsdp2", device="cpu")(engine)
