"""The tiny model and its tokenizer."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from toolrl_cli.datasets import toolworld
from toolrl_cli.training.models.tiny_model import make_tiny_model, tiny_model_identity


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model", seed=0)


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_it_is_a_qwen2_of_under_two_million_parameters(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.model_type == "qwen2"
    assert model.num_parameters() < 2_000_000
    assert model.config.max_position_embeddings >= 8192


def test_a_seed_gives_the_same_weights_and_another_seed_others(folder: Path, tmp_path: Path) -> None:
    assert weights(make_tiny_model(tmp_path / "same", seed=0)) == weights(folder)
    assert weights(make_tiny_model(tmp_path / "other", seed=1)) != weights(folder)
    assert tiny_model_identity(0) != tiny_model_identity(1)


def test_a_folder_that_is_there_is_left_alone(folder: Path) -> None:
    before = (folder / "model.safetensors").stat().st_mtime_ns
    time.sleep(0.01)
    make_tiny_model(folder, seed=0)
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_every_text_survives_its_tokens(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    example = toolworld.generate("train", 0, 1)[0]
    for text in (example.answer, example.system, 'naïve 😀 {"a": [1, 2]}\n\t<tool_call>', "¡Hola! 你好"):
        assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=False) == text


def test_tags_survive_the_removal_of_special_tokens_and_control_tokens_do_not(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [*tokenizer.encode("<think> x </think>"), tokenizer.eos_token_id]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think> x </think>"
    assert tokenizer.decode(ids, skip_special_tokens=False).endswith("<|im_end|>")


def test_prompts_and_answers_of_toolworld_fit_the_quickstart_s_limits(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for example in toolworld.generate("train", 0, 300):
        messages = [{"role": "system", "content": example.system}, {"role": "user", "content": example.user}]
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
        assert len(prompt["input_ids"]) <= 256
        assert len(tokenizer.encode(example.answer)) < 64
