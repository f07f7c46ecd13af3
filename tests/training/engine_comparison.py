"""verl's engines beside toolrl's on the same data, in a process of its own: `engine_comparison.py MODEL`.

Prints one JSON object: for each comparison the largest difference, relative to the largest value.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial

os.environ |= {"VERL_PLATFORM": "cpu", "VERL_USE_EXTERNAL_MODULES": "toolrl_cli.training.plugin"}
os.environ |= {
    "RANK": "0",
    "WORLD_SIZE": "1",
    "LOCAL_RANK": "0",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "0",
}

import torch
from verl.trainer.config import CheckpointConfig
from verl.utils import tensordict_utils as tu
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead, FSDPEngineWithValueHead
from verl.workers.utils.losses import sft_loss

from toolrl_cli.training.cpu.engines import CpuEngineWithLMHead, CpuEngineWithValueHead
from toolrl_cli.training.cuda.engines import CudaEngineWithLMHead, CudaEngineWithValueHead

PROMPTS = [[5, 6, 7, 8, 9]] * 3 + [[10, 11]] + [[12, 13, 14]] * 2
RESPONSES = [[1, 2, 3], [4, 5], [6], [7, 8, 9, 1], [2, 3], [4]]
FP32 = {"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"}


def build(engine_class: type, path: str, model_type: str, forward_only: bool = False, packed: bool = False):
    model = HFModelConfig(
        path=path,
        load_tokenizer=False,
        override_config={"attn_implementation": "sdpa"},
        use_remove_padding=packed,
        enable_gradient_checkpointing=False,
    )
    model.model_type = model_type
    engine = engine_class(
        model_config=model,
        engine_config=FSDPEngineConfig(
            strategy="fsdp2", use_torch_compile=False, mixed_precision=FP32, forward_only=forward_only
        ),
        optimizer_config=FSDPOptimizerConfig(lr=1e-3, total_training_steps=10, clip_grad=1e9),
        checkpoint_config=CheckpointConfig(),
    )
    torch.manual_seed(0)  # a value head is made anew
    engine.initialize()
    return engine


def nested(rows: list[list[int]]) -> torch.Tensor:
    return torch.nested.as_nested_tensor([torch.tensor(row) for row in rows], layout=torch.jagged)


def batch(rl: bool, temperature: float | torch.Tensor = 1.0, entropy: bool = True, packed: bool = False):
    whole = [p + r for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    tensors = {
        "input_ids": nested(whole),
        "position_ids": nested([list(range(len(row))) for row in whole]),
    }
    if rl:
        tensors |= {"prompts": nested(PROMPTS), "responses": nested(RESPONSES)}
        tensors |= {"loss_mask": nested([[1] * len(row) for row in RESPONSES])}
    else:
        mask = [[0] * len(p) + [1] * len(r) for p, r in zip(PROMPTS, RESPONSES, strict=True)]
        tensors |= {"loss_mask": nested(mask)}
    tensors["dataset_column"] = [{"any": "thing"}] * len(whole)
    settings = {"use_remove_padding": packed, "pad_token_id": 0, "calculate_entropy": entropy}
    settings |= {"use_dynamic_bsz": True, "max_token_len_per_gpu": 1000, "return_model_output": True}
    if isinstance(temperature, torch.Tensor):
        tensors["temperature"] = temperature
    else:
        settings["temperature"] = temperature
    return tu.get_tensordict(tensors, non_tensor_dict=settings)


def responses(values: torch.Tensor) -> torch.Tensor:
    """What verl reads of an output: the positions before each response token."""
    return torch.cat([row[-len(r) - 1 : -1] for row, r in zip(values.unbind(), RESPONSES, strict=True)])


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def gradients(engine, data) -> list[torch.Tensor]:
    engine.optimizer.zero_grad()
    with engine.train_mode():
        engine.forward_backward_batch(data, partial(sft_loss, None), forward_only=False)
        return [parameter.grad.full_tensor().clone() for parameter in engine.module.parameters()]


def infer(engine, data) -> dict[str, torch.Tensor]:
    with engine.eval_mode():
        return engine.forward_backward_batch(data, None, forward_only=True)["model_output"]


def main(path: str) -> None:
    torch.distributed.init_process_group("cpu:gloo,cpu:gloo")
    found = {}
    ours, theirs = (build(cls, path, "language_model") for cls in (CpuEngineWithLMHead, FSDPEngineWithLMHead))
    per_row = torch.linspace(0.5, 1.5, len(PROMPTS))
    for name, temperature in (("1", 1.0), ("0.7", 0.7), ("per row", per_row)):
        a, b = (infer(engine, batch(True, temperature)) for engine in (ours, theirs))
        for key in ("log_probs", "entropy"):
            found[f"{key} at temperature {name}"] = difference(responses(a[key]), responses(b[key]))
    pairs = zip(*(gradients(engine, batch(False, entropy=False)) for engine in (ours, theirs)), strict=True)
    found["gradients"] = max(difference(a, b) for a, b in pairs)
    frozen = build(CpuEngineWithLMHead, path, "language_model", forward_only=True)
    found["reference model"] = difference(
        responses(infer(frozen, batch(True))["log_probs"]), responses(infer(ours, batch(True))["log_probs"])
    )

    class StockValue(CpuEngineWithValueHead):
        """verl's passes over the model that only toolrl's engine can load here."""

        prepare_model_inputs = FSDPEngineWithLMHead.prepare_model_inputs
        prepare_model_outputs = FSDPEngineWithValueHead.prepare_model_outputs

    a, b = (
        infer(build(cls, path, "value_model"), batch(True))["values"]
        for cls in (CpuEngineWithValueHead, StockValue)
    )
    found["values"] = difference(responses(a), responses(b))
    # as on CUDA without flash-attn: verl's own passes over rows that Transformers' mask keeps apart
    packed = batch(True, 0.7, packed=True)
    on_cuda = build(CudaEngineWithLMHead, path, "language_model", packed=True)
    found["packed rows with sdpa"] = difference(
        responses(infer(on_cuda, packed)["log_probs"]),
        responses(infer(theirs, batch(True, 0.7))["log_probs"]),
    )
    critic = build(CudaEngineWithValueHead, path, "value_model", packed=True)
    found["packed values with sdpa"] = difference(responses(infer(critic, packed)["values"]), responses(b))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
