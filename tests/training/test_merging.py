"""A checkpoint as verl writes it becomes a Hugging Face folder: same numbers, adapters added, nothing left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from peft import LoraConfig, get_peft_model
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, Qwen2Config, Qwen2ForCausalLM

from toolrl_cli.errors import StageError
from toolrl_cli.training.checkpointing.merging import merge_checkpoint
from toolrl_cli.training.models.tiny_tokenizer import write_tokenizer

LORA = LoraConfig(r=3, lora_alpha=12, target_modules="all-linear", task_type="CAUSAL_LM")
IDS = torch.tensor([[5, 7, 11, 13, 17]])


def network(tie: bool = True) -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    config = Qwen2Config(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=61,
        tie_word_embeddings=tie,
        architectures=["Qwen2ForCausalLM"],
    )
    return Qwen2ForCausalLM(config)


def adapted() -> Any:
    model = get_peft_model(network(), LORA)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    return model


@pytest.fixture
def save(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Writes a model's checkpoint as verl's manager does, without processes for its ranks."""

    def write(
        model: Any, ranks: int = 1, replicas: int = 1, change: Callable[[Any], None] = lambda s: None
    ) -> Path:
        folder = tmp_path / "actor"
        described = folder / "huggingface"
        described.mkdir(parents=True)
        write_tokenizer(described, 64)
        model.config.save_pretrained(described)
        GenerationConfig(temperature=0.25, do_sample=True).save_pretrained(described)
        if hasattr(model, "peft_config"):
            meta = {"r": LORA.r, "lora_alpha": LORA.lora_alpha, "task_type": "CAUSAL_LM"}
            (folder / "lora_train_meta.json").write_text(json.dumps(meta))
        world = ranks * replicas
        for rank in range(world):
            dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world)
            shape, names = ((ranks,), ("fsdp",)) if replicas == 1 else ((replicas, ranks), ("ddp", "fsdp"))
            mesh = init_device_mesh("cpu", shape, mesh_dim_names=names)
            placements = [Replicate()] * (len(shape) - 1) + [Shard(0)]
            state = {}
            for key, whole in model.state_dict().items():
                parts = list(whole.chunk(ranks))
                part = parts[rank % ranks] if rank % ranks < len(parts) else whole[:0]
                state[key] = DTensor.from_local(
                    part.clone(), mesh, placements, run_check=False, shape=whole.shape, stride=whole.stride()
                )
            change(state)
            torch.save(state, folder / f"model_world_size_{world}_rank_{rank}.pt")
            dist.destroy_process_group()
        return folder

    yield write
    if dist.is_initialized():
        dist.destroy_process_group()


def loaded(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto")


@pytest.mark.parametrize(("ranks", "replicas"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("tie", [True, False])
def test_fp32_comes_out_bit_for_bit(
    save: Callable[..., Path], tmp_path: Path, ranks: int, replicas: int, tie: bool
) -> None:
    model = network(tie)
    merge_checkpoint(save(model, ranks, replicas), tmp_path / "out", "fp32")
    found = loaded(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "float32"
    assert found.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(found.state_dict()[name], weight) for name, weight in model.state_dict().items())
    assert (found.lm_head.weight is found.model.embed_tokens.weight) is tie


def test_bf16_is_the_rounded_checkpoint(save: Callable[..., Path], tmp_path: Path) -> None:
    model = network()
    merge_checkpoint(save(model), tmp_path / "out", "bf16")
    found = loaded(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    assert all(torch.equal(w.bfloat16(), found.state_dict()[n]) for n, w in model.state_dict().items())


def test_tokenizer_chat_template_and_generation_settings_are_the_checkpoint_s(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    source, out = save(network()), tmp_path / "out"
    merge_checkpoint(source, out, "fp32")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (out / name).read_bytes() == (source / "huggingface" / name).read_bytes()
    assert AutoTokenizer.from_pretrained(out).chat_template
    assert GenerationConfig.from_pretrained(out).temperature == 0.25


@pytest.mark.parametrize("ranks", [1, 2])
def test_lora_s_export_is_no_longer_the_base_and_answers_as_the_adapted_model(
    save: Callable[..., Path], tmp_path: Path, ranks: int
) -> None:
    model = adapted()
    merge_checkpoint(save(model, ranks), tmp_path / "out", "fp32")
    found, base = loaded(tmp_path / "out"), network()
    changed = {n for n, w in base.state_dict().items() if not torch.equal(w, found.state_dict()[n])}
    assert len(changed) == 14  # q, k, v, o, gate, up, down of both layers
    with torch.no_grad():
        assert torch.allclose(found(IDS).logits, model(IDS).logits, atol=1e-5)
        assert not torch.allclose(found(IDS).logits, base(IDS).logits, atol=1e-2)
    greedy = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    assert found.generate(IDS, **greedy).tolist() == model.generate(input_ids=IDS, **greedy).tolist()
    merged = model.merge_and_unload().state_dict()
    assert all(torch.equal(merged[name], weight) for name, weight in found.state_dict().items())


def test_what_has_no_place_in_the_model_is_refused(save: Callable[..., Path], tmp_path: Path) -> None:
    def more(state: dict[str, Any]) -> None:
        state["model.extra.weight"] = torch.zeros(2)

    with pytest.raises(StageError, match=r"has more: model\.extra\.weight"):
        merge_checkpoint(save(network(), change=more), tmp_path / "out", "fp32")
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_refused(save: Callable[..., Path], tmp_path: Path) -> None:
    source = save(network(), change=lambda state: state.pop("model.norm.weight"))
    with pytest.raises(StageError, match=r"lacks model\.norm\.weight"):
        merge_checkpoint(source, tmp_path / "out", "fp32")


def test_another_shape_than_the_configuration_s_is_refused(save: Callable[..., Path], tmp_path: Path) -> None:
    source = save(network())
    config = source / "huggingface" / "config.json"
    config.write_text(config.read_text().replace('"intermediate_size": 24', '"intermediate_size": 32'))
    with pytest.raises(StageError, match=r"gate_proj\.weight|up_proj\.weight|down_proj\.weight"):
        merge_checkpoint(source, tmp_path / "out", "fp32")


def test_tied_weights_that_differ_are_refused(save: Callable[..., Path], tmp_path: Path) -> None:
    def untie(state: dict[str, Any]) -> None:
        state["lm_head.weight"]._local_tensor.add_(1)

    with pytest.raises(StageError, match="are tied by its configuration, and differ"):
        merge_checkpoint(save(network(), change=untie), tmp_path / "out", "fp32")


def test_adapters_without_their_scale_or_of_another_kind_are_refused(
    save: Callable[..., Path], tmp_path: Path
) -> None:
    source = save(adapted())
    meta = source / "lora_train_meta.json"
    for text in ('{"r": 3, "lora_alpha": 0}', '{"r": 4, "lora_alpha": 12}', "{}"):
        meta.write_text(text)
        with pytest.raises(StageError, match=r"lora_train_meta\.json"):
            merge_checkpoint(source, tmp_path / "out", "fp32")


def test_a_half_of_an_adapter_is_refused(save: Callable[..., Path], tmp_path: Path) -> None:
    def half(state: dict[str, Any]) -> None:
        del state[next(key for key in state if "lora_B" in key)]

    with pytest.raises(StageError, match="belongs to no adapter"):
        merge_checkpoint(save(adapted(), change=half), tmp_path / "out", "fp32")


def test_asked_to_stop_it_stops_between_tensors(save: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        merge_checkpoint(save(network()), tmp_path / "out", "fp32", lambda: True)
