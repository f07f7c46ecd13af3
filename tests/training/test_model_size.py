"""How large a model is, without loading it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from toolrl_cli.spec.models import HuggingFaceModel, TinyModel
from toolrl_cli.training.models.model_size import PUBLISHED, dense_parameters, folder_size, model_size
from toolrl_cli.training.models.tiny_model import make_tiny_model


def test_the_tiny_models_size_is_reckoned_as_it_comes_out(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    measured, reckoned = folder_size(folder), model_size(TinyModel(kind="tiny"))
    assert measured is not None and reckoned is not None
    assert measured.parameters == reckoned.parameters
    assert (measured.hidden, measured.layers, measured.vocabulary) == (
        reckoned.hidden,
        reckoned.layers,
        reckoned.vocabulary,
    )


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("Qwen/Qwen2.5-1.5B-Instruct", (1536, 8960, 28, 256, 151_936)),
        ("Qwen/Qwen2.5-3B-Instruct", (2048, 11008, 36, 256, 151_936)),
    ],
)
def test_the_papers_models_with_tied_embeddings_have_the_size_of_their_configuration(
    name: str, shape: tuple[int, int, int, int, int]
) -> None:
    assert PUBLISHED[name].parameters == dense_parameters(*shape)


def test_the_7b_model_has_a_second_embedding_for_the_output() -> None:
    tied = dense_parameters(3584, 18944, 28, 512, 152_064)
    assert PUBLISHED["Qwen/Qwen2.5-7B-Instruct"].parameters == tied + 152_064 * 3584


def test_the_llama_model_has_no_biases() -> None:
    with_biases = dense_parameters(3072, 8192, 28, 1024, 128_256)
    assert PUBLISHED["meta-llama/Llama-3.2-3B-Instruct"].parameters == with_biases - 28 * (3072 + 2 * 1024)


def test_a_folder_whose_weights_cannot_be_read_has_no_known_size(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"no header")
    assert folder_size(tmp_path) is None
    assert model_size(HuggingFaceModel(kind="huggingface", name="m", path="someone/elses-model")) is None


def test_shards_are_added_up(tmp_path: Path) -> None:
    for number in (1, 2):
        header = json.dumps({"a": {"dtype": "BF16", "shape": [number, 3], "data_offsets": [0, 0]}}).encode()
        (tmp_path / f"model-{number}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    size = folder_size(tmp_path)
    assert size is not None and size.parameters == 3 + 6
