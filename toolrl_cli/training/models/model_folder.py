"""Hugging Face model folders: where one is, and which of its files count. Imports no torch."""

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
PACKAGED = "toolrl:"
"""Begins the `path` of a model that comes with this package; its folder stands beside this module."""
ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")


def folder_of(path: str) -> Path | None:
    """The local folder that a model's `path` names, absolute; None for a name on the hub.

    What a sweep names a folder is absolute after planning, wherever it is read then.

    Raises:
        SpecError: there is no such folder.
    """
    if not names_folder(path):
        return None
    if is_packaged(path):
        folder = Path(__file__).parent / path[len(PACKAGED) :]
        if not path[len(PACKAGED) :].isidentifier() or not (folder / "config.json").is_file():
            raise SpecError(
                "no such model comes with toolrl", path, f"the one that does: {PACKAGED}tiny_base"
            )
        return folder
    folder = Path(path).expanduser().resolve()
    if not folder.is_dir():
        raise SpecError(
            "no such model folder", path, "give a folder, or a hub name such as Qwen/Qwen2.5-1.5B-Instruct"
        )
    return folder


def names_folder(path: str) -> bool:
    """Whether a model's `path` is written as a folder, and not as a name on the hub."""
    return path.startswith((".", "/", "~", PACKAGED))


def is_packaged(path: str) -> bool:
    """Whether a model's `path` names one that comes with this package."""
    return path.startswith(PACKAGED)


def weight_files(folder: Path) -> list[Path]:
    """The weight files that `from_pretrained` loads of a folder, sorted by name; [] where it would find none.

    Of several it takes one set, in this order: `model.safetensors`, the shards of its index, `pytorch_model.bin`, the
    shards of that index (transformers 5, `modeling_utils._get_resolved_checkpoint_files`); adapter weights besides.
    """
    adapted = (folder / "adapter_config.json").is_file()
    adapters = [folder / name for name in ADAPTERS if adapted and (folder / name).is_file()][:1]
    named = json_object(folder / "config.json").get("transformers_weights")
    for name in [named] if isinstance(named, str) else WEIGHTS:
        if (folder / name).is_file():
            shards = [folder / name]
            if name.endswith(".index.json"):
                parts = json_object(folder / name).get("weight_map")
                shards = [
                    folder / str(part) for part in set(parts.values() if isinstance(parts, dict) else ())
                ]
            return sorted([*shards, *adapters])
    return adapters


def json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where it holds none, or cannot be read."""
    try:
        return object_of(path.read_bytes())
    except OSError:
        return {}


def object_of(text: bytes) -> dict[str, Any]:
    """The JSON object that a text is; empty where it is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
