"""How large a model is, without loading it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

from toolrl_cli.spec.run.model_settings import HuggingFaceModel, TinyModel
from toolrl_cli.training.models.hub_size import hub_config, parameters_of
from toolrl_cli.training.models.model_size import PUBLISHED, folder_size, model_size
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


QWEN = {"model_type": "qwen2", "tie_word_embeddings": True, "vocab_size": 151_936, "num_key_value_heads": 2}
SMALL = {
    **QWEN,
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
}
CONFIGURATIONS = {
    "Qwen/Qwen2.5-1.5B-Instruct": SMALL,
    "Qwen/Qwen2.5-3B-Instruct": {
        **QWEN,
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
    },
    "Qwen/Qwen2.5-7B-Instruct": {
        **QWEN,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152_064,
        "tie_word_embeddings": False,
    },
    "meta-llama/Llama-3.2-3B-Instruct": {
        "model_type": "llama",
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 28,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 128_256,
        "tie_word_embeddings": True,
    },
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_papers_models_have_the_size_that_their_configuration_gives(name: str) -> None:
    assert PUBLISHED[name].parameters == parameters_of(CONFIGURATIONS[name])


def test_of_another_kind_of_model_the_configuration_tells_no_size() -> None:
    assert parameters_of({**SMALL, "model_type": "qwen2_moe"}) is None
    assert parameters_of({**SMALL, "hidden_size": None}) is None


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that a server gives as if it were the hub, and an empty cache."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    hub_config.cache_clear()
    yield tmp_path
    server.shutdown()
    hub_config.cache_clear()


def put(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(SMALL))


MODEL = HuggingFaceModel(kind="huggingface", name="m", path="some/model")


def test_a_model_on_the_hub_has_the_size_of_its_configuration_there(hub: Path) -> None:
    put(hub / "some/model/resolve/main")
    size = model_size(MODEL)
    assert size is not None and (size.parameters, size.hidden) == (1_543_714_304, 1536)
    assert size.source == "the configuration of some/model"


def test_a_cached_configuration_is_read_without_the_hub(hub: Path) -> None:
    assert model_size(MODEL) is None
    hub_config.cache_clear()
    put(hub / "cache/models--some--model/snapshots/abc")
    (hub / "cache/models--some--model/refs").mkdir()
    (hub / "cache/models--some--model/refs/main").write_text("abc")
    size = model_size(MODEL)
    assert size is not None and size.parameters == 1_543_714_304


def test_a_folder_whose_weights_cannot_be_read_has_no_known_size(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"no header")
    assert folder_size(tmp_path) is None
    assert model_size(HuggingFaceModel(kind="huggingface", name="m", path="someone/elses-model")) is None


def test_shards_are_added_up_and_a_consolidated_file_beside_them_is_not(tmp_path: Path) -> None:
    for number in (1, 2):
        header = json.dumps({"a": {"dtype": "BF16", "shape": [number, 3], "data_offsets": [0, 0]}}).encode()
        (tmp_path / f"model-{number}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    shards = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(shards))
    (tmp_path / "consolidated.safetensors").write_bytes((tmp_path / "model-1.safetensors").read_bytes())
    size = folder_size(tmp_path)
    assert size is not None and size.parameters == 3 + 6
