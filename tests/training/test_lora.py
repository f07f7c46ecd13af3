"""LoRA: which modules it adapts, what it costs, what verl is told, and what is sampled from."""

from __future__ import annotations

import copy
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM

from tests.support.configs import rl_config, sft_config
from toolrl_cli.errors import StageError
from toolrl_cli.spec.run.model_settings import HuggingFaceModel, TinyModel
from toolrl_cli.spec.run.training_settings import LoraSpec
from toolrl_cli.training.cpu.engines import CpuEngineWithLMHead, CpuEngineWithValueHead
from toolrl_cli.training.models.gpu_memory import training_need
from toolrl_cli.training.models.host_memory import host_need
from toolrl_cli.training.models.lora_modules import (
    adapted,
    adapter_parameters,
    folder_modules,
    loaded_modules,
    lora_fault,
    modules_of,
)
from toolrl_cli.training.models.model_size import PUBLISHED, model_size
from toolrl_cli.training.models.tiny_model import make_tiny_model
from toolrl_cli.training.stage_functions import check_lora
from toolrl_cli.training.verl_options import Paths, rl_options, sft_options

TINY = TinyModel(kind="tiny")
LARGE = PUBLISHED["Qwen/Qwen2.5-7B-Instruct"]
SEVEN = HuggingFaceModel(kind="huggingface", name="7b", path="Qwen/Qwen2.5-7B-Instruct")
LORA = {"rank": 8, "alpha": 32, "target_modules": ["v_proj", "q_proj"]}
PATHS = Paths(Path("model"), Path("train"), Path("val"), Path("checkpoints"), Path("attempt"))
MODEL = "actor_rollout_ref.model"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def test_the_modules_of_the_recipe_of_the_files_and_of_the_loaded_model_are_the_same(folder: Path) -> None:
    recipe, files, loaded = modules_of(TINY), folder_modules(folder), loaded_modules(str(folder))
    assert recipe is not None and files is not None
    assert set(recipe) == set(files) == set(loaded)
    assert files == loaded
    assert all(recipe[name] == shape for name, shape in files.items() if name != "model.embed_tokens")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"exclude_modules": ["down_proj", "v_proj"]},
        {"target_modules": ["o_proj", "layers.1.mlp.up_proj"]},
    ],
)
def test_adapters_have_as_many_parameters_as_peft_makes(folder: Path, settings: dict[str, Any]) -> None:
    lora = LoraSpec(rank=3, **settings)
    targets, excluded = lora.target_modules, list(lora.exclude_modules) or None
    config = LoraConfig(
        r=3,
        target_modules=targets if isinstance(targets, str) else list(targets),
        exclude_modules=excluded,
        task_type="CAUSAL_LM",
    )
    policy: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    size = model_size(TINY)
    assert size is not None
    assert adapter_parameters(lora, TINY, size) == policy.get_nb_trainable_parameters()[0]


def test_of_a_model_that_is_not_here_the_adapters_are_about_as_large_as_they_come_out() -> None:
    """Of Qwen2.5-7B at rank 16, all linear layers: 40.4 M."""
    assert adapter_parameters(LoraSpec(rank=16), SEVEN, LARGE) == pytest.approx(40.4e6, rel=0.1)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"target_modules": ["q_proj", "qkv_proj"]}, "no module of the model is named 'qkv_proj'"),
        (
            {"target_modules": ["q_proj", "embed_tokens"]},
            "'embed_tokens' is the model's embedding or output head",
        ),
        ({"target_modules": ["lm_head"]}, "'lm_head' is the model's embedding or output head"),
        ({"exclude_modules": ["q_pro"]}, "no module of the model is named 'q_pro'"),
        ({"target_modules": ["q_proj"], "exclude_modules": ["self_attn.q_proj"]}, "nothing is left to adapt"),
    ],
)
def test_modules_that_would_get_no_adapter_are_refused(
    folder: Path, settings: dict[str, Any], told: str
) -> None:
    """peft passes over names that it does not find, as long as it finds others."""
    lora = LoraSpec(rank=4, **settings)
    modules = modules_of(TINY)
    assert modules is not None
    fault = lora_fault(lora, modules)
    assert fault is not None and fault.what.startswith(told)
    with pytest.raises(StageError, match=re.escape(told)) as caught:
        check_lora(lora, str(folder))
    assert caught.value.failure_class == "config"


def test_a_head_of_its_own_is_refused_too_because_the_sampler_would_not_get_its_adapter() -> None:
    modules = {"model.embed_tokens": (9, 4), "model.layers.0.mlp.up_proj": (8, 4), "lm_head": (9, 4)}
    assert lora_fault(LoraSpec(rank=1, target_modules=("lm_head",)), modules) is not None
    assert adapted(LoraSpec(rank=1), modules) == ["model.layers.0.mlp.up_proj"]


def test_the_policy_gets_adapters_and_a_critic_none() -> None:
    options = rl_options(rl_config(lora=LORA, algorithm="ppo"), PATHS, "cpu")
    plain = rl_options(rl_config(algorithm="ppo"), PATHS, "cpu")
    assert {key: value for key, value in options.items() if key not in plain} == {
        f"{MODEL}.lora_rank": 8,
        f"{MODEL}.lora_alpha": 32,
        f"{MODEL}.target_modules": ["q_proj", "v_proj"],
        f"{MODEL}.lora.merge": True,
    }


def test_vllm_takes_the_adapters_beside_a_base_that_it_loads_itself() -> None:
    lora = {"rank": 8, "exclude_modules": ["down_proj"]}
    options = rl_options(rl_config(lora=lora, resources={"rollout": "vllm"}), PATHS, "cuda")
    assert options[f"{MODEL}.exclude_modules"] == ["down_proj"]
    assert options[f"{MODEL}.target_modules"] == "all-linear"
    assert options["actor_rollout_ref.rollout.load_format"] == "auto"
    assert f"{MODEL}.lora.merge" not in options


def test_fine_tuning_gets_the_same_adapters() -> None:
    options = sft_options(sft_config(lora=LORA), PATHS, "cpu")
    assert (options["model.lora_rank"], options["model.lora_alpha"]) == (8, 32)
    assert options["model.target_modules"] == ["q_proj", "v_proj"]


def test_the_frozen_base_needs_memory_for_its_weights_alone() -> None:
    def states(algorithm: str, **more: Any) -> float:
        config = rl_config(algorithm=algorithm, model=SEVEN.model_dump(), resources={"gpus": 2}, **more)
        never, always = (training_need(config, LARGE, offload).training[0] for offload in ("never", "always"))
        return never - always

    lora = {"rank": 16}
    adapters = adapter_parameters(LoraSpec(rank=16), SEVEN, LARGE)
    actor = (4 * LARGE.parameters + 16 * adapters) / 2
    assert states("grpo", lora=lora) == pytest.approx(actor)
    assert states("ppo", lora=lora) == pytest.approx(actor + 16 * LARGE.parameters / 2)
    assert states("grpo") == pytest.approx(16 * LARGE.parameters / 2)
    told = training_need(rl_config(model=SEVEN.model_dump(), lora=lora), LARGE).how
    assert re.match(r"\(7\.62 G parameters × 4 bytes \+ \d+ M of LoRA × 16\) / 1 GPUs", told)


def test_the_machine_s_memory_has_no_reference_model_beside_a_policy_with_adapters() -> None:
    size = model_size(TINY)
    assert size is not None

    def peak(**more: Any) -> float:
        need = host_need(rl_config(rl={"prompts": 128, "kl": "in_loss"}, **more), size, "cpu")
        assert need is not None
        return need.peak[0]

    adapters = adapter_parameters(LoraSpec(rank=8), TINY, size)
    assert peak() - peak(lora={"rank": 8}) == pytest.approx((12 + 4) * size.parameters - 16 * adapters)


def test_what_is_sampled_from_is_the_trained_policy_and_not_one_rounded_to_bf16(folder: Path) -> None:
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    policy: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), config)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    before = {name: weight.clone() for name, weight in policy.state_dict().items()}
    merged = copy.deepcopy(policy).merge_and_unload().state_dict()
    engine = object.__new__(CpuEngineWithLMHead)
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        for layer in policy.base_model.model.model.layers:
            fully_shard(layer)
        engine.module = fully_shard(policy)
        sent = dict(engine._merged_lora_per_tensor_param())
        left = {name: weight.full_tensor() for name, weight in policy.state_dict().items()}
    finally:
        torch.distributed.destroy_process_group()
    assert all(torch.equal(before[name], weight) for name, weight in left.items())
    assert sent.keys() == merged.keys()
    assert all(torch.equal(merged[name], weight) for name, weight in sent.items())


def test_a_critic_without_adapters_can_be_asked_to_leave_them_out() -> None:
    with object.__new__(CpuEngineWithValueHead).disable_adapter():
        pass


def test_another_seed_draws_other_adapters_and_the_same_seed_the_same(folder: Path) -> None:
    def drawn(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)  # as `seeding.seed_torch` does in every process of a run
        config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
        policy = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
        return [p.detach() for name, p in policy.named_parameters() if "lora_A" in name]

    one, again, two = drawn(1), drawn(1), drawn(2)
    assert all(itertools.starmap(torch.equal, zip(one, again, strict=True)))
    assert not any(itertools.starmap(torch.equal, zip(one, two, strict=True)))
