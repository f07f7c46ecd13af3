"""verl's FSDP engines on CUDA, where they do not do what the options say.

verl's loader of value models requests flash-attn whatever the options say, and its merging of adapters rounds to bf16
whatever the precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch.distributed.tensor import DTensor
from transformers import AutoModelForTokenClassification
from verl.utils import model as verl_model
from verl.utils.device import get_device_id
from verl.utils.fsdp_utils import merged_lora_context, normalize_peft_param_name, offload_fsdp_model_to_cpu
from verl.workers.engine import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead, FSDPEngineWithValueHead

VENDOR = "nvidia"
"""verl looks for a vendor's engine first; under the device alone, its own are registered."""


class CudaEngineWithLMHead(FSDPEngineWithLMHead):
    """verl's language-model engine, whose merged adapters keep their precision on the way to the sampler."""

    def _merged_lora_per_tensor_param(self) -> Iterator[tuple[str, torch.Tensor]]:
        try:
            with merged_lora_context(self.module, backup_adapters=True):
                for name, weight in normalize_peft_param_name(self.module.state_dict()).items():
                    # copies, because the base's weights are put back before the last of them are sent
                    if isinstance(weight, DTensor):
                        yield name, weight.to(get_device_id(), non_blocking=True).full_tensor()
                    else:
                        yield name, weight.detach().clone()
        finally:
            if self._is_offload_param:
                offload_fsdp_model_to_cpu(self.module)


class CudaEngineWithValueHead(FSDPEngineWithValueHead):
    """verl's value-model engine, which loads with the attention that the options name."""

    def _build_module(self) -> torch.nn.Module:
        if self.model_config.hf_config._attn_implementation == "flash_attention_2":
            return super()._build_module()  # type: ignore[no-any-return]
        # the rest of verl's method (kernels, recomputation, precision) is right
        with mock.patch.object(verl_model, "load_valuehead_model", load_value_model):
            return super()._build_module()  # type: ignore[no-any-return]


def load_value_model(
    local_path: str, torch_dtype: torch.dtype, model_config: Any, trust_remote_code: bool
) -> torch.nn.Module:
    """A token classifier with one label; stands in for `verl.utils.model.load_valuehead_model`.

    Args:
        local_path: Hugging Face folder.
        torch_dtype: of the weights.
        model_config: its configuration, which names the attention.
        trust_remote_code: whether code in that folder may run.
    """
    model_config.hidden_dropout = 0.0  # verl sets a text, which a model that reads it cannot use
    module: torch.nn.Module = AutoModelForTokenClassification.from_pretrained(
        local_path, config=model_config, dtype=torch_dtype, trust_remote_code=trust_remote_code
    )
    return module


def register_engines() -> None:
    """Register both engines in verl for CUDA."""
    for model_type, engine in (
        ("language_model", CudaEngineWithLMHead),
        ("value_model", CudaEngineWithValueHead),
    ):
        EngineRegistry.register(
            model_type=model_type, backend=["fsdp", "fsdp2"], device="cuda", vendor=VENDOR
        )(engine)


def engines_registered() -> bool:
    """Whether a process that asks for an engine on CUDA gets these."""
    known = EngineRegistry._engines.get("value_model", {}).get("fsdp2", {})
    return known.get(("cuda", VENDOR)) is CudaEngineWithValueHead
