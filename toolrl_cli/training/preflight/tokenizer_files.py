"""The tokenizer of a model: in which folder it is, what identifies it, and how many positions its model has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.run.model_settings import EndpointModel, HuggingFaceModel, ModelSpec, TinyModel
from toolrl_cli.training.checking.verdicts import cache_folder
from toolrl_cli.training.models.file_digests import digest_of
from toolrl_cli.training.models.hub_size import hub_config
from toolrl_cli.training.models.model_folder import TOKENIZER_FILES, folder_of, json_object
from toolrl_cli.training.models.tiny_model import TinyShape, tiny_model_identity

FOLDER = "tokenizers"
"""In the user's cache folder: tokenizers of models on the hub whose weights are not here."""
PATTERNS = (
    *("config.json", "tokenizer*", "vocab*", "merges.txt", "added_tokens.json", "special_tokens_map.json"),
    *("*.tiktoken", "*.jinja", "additional_chat_templates/*.jinja"),
)
"""The files of a model folder that its tokenizer is made of; by `config.json` Transformers chooses its class."""


@dataclass(frozen=True)
class ModelTokenizer:
    """A tokenizer that is there.

    Attributes:
        folder: a model folder; empty for the tiny model's, which is made where it is needed.
        mark: what identifies it.
        positions: tokens that its model can tell apart; None where its configuration does not say.
    """

    folder: str
    mark: str
    positions: int | None


def tokenizer_of(model: ModelSpec, folder: str = "") -> ModelTokenizer | None:
    """The tokenizer of the model that a run begins with, which all of the run's stages have.

    Args:
        model: as a stage's config has it.
        folder: where the model is besides, for one that cannot be had as it is named.

    Returns:
        None where it is on the hub, and neither the local cache nor the hub has it now.
    """
    if isinstance(model, TinyModel):
        shape = TinyShape()
        return ModelTokenizer("", json.dumps(tiny_model_identity(0, shape)), shape.max_position_embeddings)
    if isinstance(model, EndpointModel):
        return None
    found = _found(model) or (Path(folder) if folder else None)
    return None if found is None else _read(found)


def _found(model: HuggingFaceModel) -> Path | None:
    try:
        return folder_of(model.path) or _from_hub(model.path, model.revision)
    except SpecError:  # the folder is gone: whoever wants the model says so
        return None


@lru_cache(maxsize=64)
def _from_hub(name: str, revision: str | None) -> Path | None:
    """The snapshot of a model with its tokenizer, or a folder of the tokenizer alone."""
    known = hub_config(name, revision) if revision is not None else None
    if known is None:  # not even its commit is known here
        return None
    if known[0] is not None and any((known[0] / file).is_file() for file in TOKENIZER_FILES):
        return known[0]
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    # not into the hub's own cache, where a snapshot without weights would pass for the model's
    folder = cache_folder() / FOLDER / f"{name.replace('/', '--')}@{revision}"
    try:
        wanted = list(PATTERNS)
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted, local_dir=folder))
    except (HfHubHTTPError, OSError):
        return None


def _read(folder: Path) -> ModelTokenizer:
    files = sorted({file for pattern in PATTERNS for file in folder.glob(pattern) if file.is_file()})
    return ModelTokenizer(str(folder), digest_of(folder, files)[:32], _positions(folder / "config.json"))


def _positions(config: Path) -> int | None:
    found = json_object(config)
    for part in (found, found.get("text_config")):
        value: Any = part.get("max_position_embeddings") if isinstance(part, Mapping) else None
        if isinstance(value, int) and value > 0:
            return value
    return None
