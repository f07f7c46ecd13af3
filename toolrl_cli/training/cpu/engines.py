"""verl's FSDP2 engines on the CPU, for language models and value models."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from tensordict import NonTensorStack, TensorDict
from torch.distributed.tensor import DTensor
from transformers import AutoModelForTokenClassification
from verl.utils import tensordict_utils as tu
from verl.utils.fsdp_utils import merged_lora_context, normalize_peft_param_name
from verl.utils.torch_dtypes import PrecisionType
from verl.workers.engine import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead, FSDPEngineWithValueHead

from toolrl_cli.training.cpu.packing import ATTENTION_NAME, PackedBatch, pack

#: Features that a micro-batch can ask of verl's engine and that the packed pass does not have.
_UNUSUAL = ("distillation_use_topk", "distillation_only", "calculate_sum_pi_squared", "use_fused_kernels")


def packable(module: torch.nn.Module) -> bool:
    """Whether a model can run packed batches: an exchangeable attention function and no sliding windows."""
    config = module.config.get_text_config()
    layers = getattr(config, "layer_types", None)
    if layers is None:
        everything = getattr(config, "sliding_window", None) is None
    else:
        everything = set(layers) == {"full_attention"}
    return everything and bool(getattr(module, "_supports_attention_backend", False))


def pack_micro_batch(micro_batch: TensorDict) -> PackedBatch:
    """Lay out verl's nested micro-batch, of RL (`prompts`, `responses`) or of SFT (`loss_mask`)."""
    sequences = list(micro_batch["input_ids"].unbind())
    if {"prompts", "responses"} <= set(micro_batch.keys()):
        responses = micro_batch["responses"].offsets().diff().tolist()
        prompts = [len(sequence) - length for sequence, length in zip(sequences, responses, strict=True)]
        # the token before a response predicts its first one; the last token predicts nothing
        scored = [
            torch.arange(length - 1, len(sequence) - 1)
            for sequence, length in zip(sequences, prompts, strict=True)
        ]
    else:
        prompts = [0] * len(sequences)
        scored = [mask[1:].nonzero().squeeze(1) for mask in micro_batch["loss_mask"].unbind()]
    return pack(sequences, prompts, scored)


def _nested(values: torch.Tensor, packed: PackedBatch, micro_batch: TensorDict) -> torch.Tensor:
    """Scores (K,) at their positions in verl's nested form, 0 elsewhere."""
    full = values.new_zeros(packed.size).index_put((packed.places,), values)
    return torch.nested.nested_tensor_from_jagged(full, micro_batch["input_ids"].offsets())


class _Packed:
    """The part of both engines that differs from verl's: packed micro-batches."""

    module: Any
    engine_config: Any

    def _build_module(self) -> torch.nn.Module:
        module: torch.nn.Module = super()._build_module()  # type: ignore[misc]
        self._packs = packable(module)
        if self._packs:
            module.set_attn_implementation(ATTENTION_NAME)
        return module

    def _build_fsdp_module(self, module: torch.nn.Module) -> torch.nn.Module:
        # verl offloads a reference model to pinned memory, which needs an accelerator
        config = self.engine_config
        self.engine_config = dataclasses.replace(config, forward_only=False, offload_policy=False)
        try:
            return super()._build_fsdp_module(module)  # type: ignore[misc, no-any-return]
        finally:
            self.engine_config = config

    def _merged_lora_per_tensor_param(self) -> Iterator[tuple[str, torch.Tensor]]:
        # verl rounds merged adapters to bf16 whatever the precision, so that another policy would be sampled from;
        # copies, because the base's weights are put back before the last of them are sent
        with merged_lora_context(self.module, backup_adapters=True):
            for name, weight in normalize_peft_param_name(self.module.state_dict()).items():
                yield name, (weight.full_tensor() if isinstance(weight, DTensor) else weight).detach().clone()

    def forward_backward_batch(self, data: TensorDict, *args: Any, **kwargs: Any) -> Any:
        # dataset columns travel with every batch, and moving them through verl's splitting and copying takes
        # as long as the forward pass of a small model
        columns = [key for key, value in data.items() if isinstance(value, NonTensorStack)]
        return super().forward_backward_batch(data.exclude(*columns), *args, **kwargs)  # type: ignore[misc]

    def prepare_model_inputs(self, micro_batch: TensorDict) -> tuple[dict[str, Any], dict[str, Any]]:
        unusual = any(tu.get_non_tensor_data(data=micro_batch, key=key, default=False) for key in _UNUSUAL)
        if unusual or not self._packs or micro_batch["position_ids"].dim() == 3:
            return super().prepare_model_inputs(micro_batch)  # type: ignore[misc]
        packed = pack_micro_batch(micro_batch)
        inputs = {
            "input_ids": packed.tokens.unsqueeze(0),
            "position_ids": packed.positions.unsqueeze(0),
            "attention_mask": None,
            "toolrl_batch": packed,
        }
        return inputs, {"packed": packed}


class CpuEngineWithLMHead(_Packed, FSDPEngineWithLMHead):
    """verl's language-model engine with packed batches."""

    def prepare_model_inputs(self, micro_batch: TensorDict) -> tuple[dict[str, Any], dict[str, Any]]:
        inputs, arguments = super().prepare_model_inputs(micro_batch)
        if "packed" in arguments:
            inputs["logits_to_keep"] = arguments["packed"].scored
        return inputs, arguments

    def prepare_model_outputs(
        self, output: Any, output_args: dict[str, Any], micro_batch: TensorDict, logits_processor_func: Any
    ) -> dict[str, torch.Tensor]:
        packed = output_args.get("packed")
        if packed is None:
            return super().prepare_model_outputs(output, output_args, micro_batch, logits_processor_func)
        logits = _scaled(output.logits[0].float(), micro_batch, packed)
        log_probs = -F.cross_entropy(logits, packed.labels, reduction="none")
        outputs = {"log_probs": _nested(log_probs, packed, micro_batch)}
        if tu.get_non_tensor_data(data=micro_batch, key="calculate_entropy", default=False):
            outputs["entropy"] = _nested(_entropy(logits), packed, micro_batch)
        return outputs


class CpuEngineWithValueHead(_Packed, FSDPEngineWithValueHead):
    """verl's value-model engine with packed batches and its own model loader.

    verl's loader requests flash attention whatever the configuration says, or a value head from `trl` where that is
    missing. This one uses a token classifier with one label and the configured attention.
    """

    def _build_module(self) -> torch.nn.Module:
        config = self.model_config.hf_config
        config.num_labels = 1
        # with dropout, each pass would give another value for the same state; its option differs by model family
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
        self._packs = packable(module)
        if self._packs:
            module.set_attn_implementation(ATTENTION_NAME)
        if self.model_config.enable_gradient_checkpointing:
            module.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        return module

    def disable_adapter(self) -> contextlib.AbstractContextManager[None]:
        # where the reference is the policy without its adapters, verl asks the critic for its own without them too
        return contextlib.nullcontext()

    def prepare_model_outputs(
        self, output: Any, output_args: dict[str, Any], micro_batch: TensorDict, logits_processor_func: Any
    ) -> dict[str, torch.Tensor]:
        packed = output_args.get("packed")
        if packed is None:
            return super().prepare_model_outputs(output, output_args, micro_batch, logits_processor_func)
        values = output.logits[0].squeeze(-1)[packed.scored]
        return {"values": _nested(values, packed, micro_batch)}


def _scaled(logits: torch.Tensor, micro_batch: TensorDict, packed: PackedBatch) -> torch.Tensor:
    """Logits (K, vocabulary) divided by the sampling temperature, one for all or one per sequence."""
    temperature = micro_batch["temperature"]
    if not isinstance(temperature, torch.Tensor):
        return logits if float(temperature) == 1.0 else logits / float(temperature)
    sequence = torch.bucketize(packed.places, micro_batch["input_ids"].offsets()[1:], right=True)
    return logits / temperature.float().clamp(min=1e-8)[sequence].unsqueeze(1)


def _entropy(logits: torch.Tensor) -> torch.Tensor:
    """Entropy (K,) of the distributions in nats."""
    log_probs = F.log_softmax(logits, dim=-1)
    return -(log_probs.exp() * log_probs).sum(dim=-1)


def register_engines() -> None:
    """Register both engines in verl for the device `cpu` and the strategy `fsdp2`."""
    for model_type, engine in (
        ("language_model", CpuEngineWithLMHead),
        ("value_model", CpuEngineWithValueHead),
    ):
        EngineRegistry.register(model_type=model_type, backend="fsdp2", device="cpu")(engine)
