"""Size of a model: parameters, and the dimensions that memory depends on. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from toolrl_cli.spec.run.model_settings import EndpointModel, ModelSpec, TinyModel
from toolrl_cli.training.models.hub_size import hub_config, parameters_of
from toolrl_cli.training.models.model_folder import folder_of, json_object, weight_files
from toolrl_cli.training.models.safetensors_header import tensor_shapes


@dataclass(frozen=True)
class ModelSize:
    """Sizes of a causal language model.

    Attributes:
        parameters: of all tensors; tied embeddings count once.
        hidden, layers, vocabulary: from its configuration; 0 if missing there.
        source: where the sizes come from, for people.
    """

    parameters: int
    hidden: int = 0
    layers: int = 0
    vocabulary: int = 0
    source: str = ""


PUBLISHED: Mapping[str, ModelSize] = {
    "Qwen/Qwen2.5-1.5B-Instruct": ModelSize(1_543_714_304, 1536, 28, 151_936, "its published configuration"),
    "Qwen/Qwen2.5-3B-Instruct": ModelSize(3_085_938_688, 2048, 36, 151_936, "its published configuration"),
    "Qwen/Qwen2.5-7B-Instruct": ModelSize(7_615_616_512, 3584, 28, 152_064, "its published configuration"),
    "meta-llama/Llama-3.2-3B-Instruct": ModelSize(
        3_212_749_824, 3072, 28, 128_256, "its published configuration"
    ),
}
"""The paper's models, so that a plan on a machine without their files can estimate memory."""


def model_size(model: ModelSpec) -> ModelSize | None:
    """The size of the model that a stage starts from; None if it cannot be found on this machine.

    The size of a folder is read from the headers of its safetensors files, that of the tiny model is computed from
    its shape, and those of the paper's models are listed by hub name. Of another model on the hub its configuration
    tells, where that is cached or can be reached.
    """
    if isinstance(model, TinyModel):
        return _tiny_size()
    if isinstance(model, EndpointModel):
        return None  # it is on another's machine
    if model.path in PUBLISHED:
        return PUBLISHED[model.path]
    folder = folder_of(model.path)
    return folder_size(folder) if folder else _hub_size(model.path, model.revision)


def _hub_size(name: str, revision: str | None) -> ModelSize | None:
    found = hub_config(name, revision)
    if found is None:
        return None
    parameters = parameters_of(found[1])
    if parameters is None:
        return folder_size(found[0]) if found[0] is not None else None
    return _size(parameters, found[1], f"the configuration of {name}")


@lru_cache(maxsize=64)
def folder_size(folder: Path) -> ModelSize | None:
    """The size of a Hugging Face folder; None where its weights are not readable safetensors."""
    files = [path for path in weight_files(folder) if path.suffix == ".safetensors"]
    shapes = [tensor_shapes(path) for path in files]
    known = [sum(map(math.prod, found.values())) for found in shapes if found is not None]
    if not known or len(known) < len(shapes):
        return None
    return _size(sum(known), json_object(folder / "config.json"), f"the files in {folder}")


@lru_cache(maxsize=1)
def _tiny_size() -> ModelSize:
    from toolrl_cli.training.models.tiny_model import TinyShape
    from toolrl_cli.training.models.tiny_tokenizer import vocabulary_size

    shape, vocabulary = TinyShape(), vocabulary_size()
    config = {**vars(shape), "model_type": "qwen2", "vocab_size": vocabulary, "tie_word_embeddings": True}
    parameters = parameters_of(config)
    assert parameters is not None
    return ModelSize(
        parameters, shape.hidden_size, shape.num_hidden_layers, vocabulary, "the tiny model's recipe"
    )


def _size(parameters: int, config: Mapping[str, Any], source: str) -> ModelSize:
    found = (config.get(key) for key in ("hidden_size", "num_hidden_layers", "vocab_size"))
    hidden, layers, vocabulary = (value if isinstance(value, int) else 0 for value in found)
    return ModelSize(parameters, hidden, layers, vocabulary, source)
