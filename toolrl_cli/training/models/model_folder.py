"""Hugging Face model folders: which of its files count, and whether one is whole. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
WEIGHTS = (
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")
LFS_POINTER = b"version https://git-lfs"


def folder_of(path: str) -> Path | None:
    """The local folder that a model's `path` names, absolute; None for a name on the hub.

    What a sweep names a folder is absolute after planning, wherever it is read then.

    Raises:
        SpecError: there is no such folder.
    """
    if not names_folder(path):
        return None
    folder = Path(path).expanduser().resolve()
    if not folder.is_dir():
        raise SpecError(
            "no such model folder", path, "give a folder, or a hub name such as Qwen/Qwen2.5-1.5B-Instruct"
        )
    return folder


def names_folder(path: str) -> bool:
    """Whether a model's `path` is written as a folder, and not as a name on the hub."""
    return path.startswith((".", "/", "~"))


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that no trainer could load.

    Raises:
        SpecError: configuration, weights, tokenizer or chat template are missing.
    """
    if not (folder / "config.json").is_file():
        raise SpecError(
            "the model folder has no config.json", str(folder), "is this a Hugging Face model folder?"
        )
    weights = weight_files(folder)
    if not weights:
        raise SpecError(
            "the model folder has no weights",
            str(folder),
            "expected model.safetensors or pytorch_model.bin, or the index of their shards",
        )
    for file in weights:
        if not file.is_file():
            raise SpecError(f"{file.name}, which its index names, is missing", str(folder), "copy it again")
        with file.open("rb") as stream:
            if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                hint = "`git lfs pull` in it fetches the weights"
                raise SpecError(f"{file.name} is a pointer of Git LFS, not weights", str(folder), hint)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise SpecError(
            "the model folder has no tokenizer",
            str(folder),
            "copy tokenizer.json and tokenizer_config.json into it",
        )
    in_config = _mapping(folder / "tokenizer_config.json").get("chat_template")
    if not in_config and not (folder / "chat_template.jinja").is_file():
        raise SpecError(
            "the model's tokenizer has no chat template",
            str(folder),
            "use the instruct model, or add chat_template.jinja",
        )


def weight_files(folder: Path) -> list[Path]:
    """The weight files that `from_pretrained` loads of a folder, sorted by name; [] where it would find none.

    Of several it takes one set, in this order: `model.safetensors`, the shards of its index, `pytorch_model.bin`, the
    shards of that index (transformers 5, `modeling_utils._get_resolved_checkpoint_files`); adapter weights besides.
    """
    adapted = (folder / "adapter_config.json").is_file()
    adapters = [folder / name for name in ADAPTERS if adapted and (folder / name).is_file()][:1]
    named = _mapping(folder / "config.json").get("transformers_weights")
    for name in [named] if isinstance(named, str) else WEIGHTS:
        if (folder / name).is_file():
            shards = [folder / name]
            if name.endswith(".index.json"):
                parts = _mapping(folder / name).get("weight_map")
                shards = [folder / str(part) for part in set((parts or {}).values())]
            return sorted([*shards, *adapters])
    return adapters


def _mapping(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
