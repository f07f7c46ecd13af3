"""Hugging Face model folders: checks that one is complete, and computes its fingerprint. Imports no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from toolrl_cli.errors import SpecError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
SAMPLE = 1 << 20
"""Bytes read at each end of a weight file for the fingerprint: enough to tell two trainings apart, cheap on NFS."""


def folder_of(path: str) -> Path | None:
    """The local folder that a model's `path` names; None for a name on the hub."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if path.startswith((".", "/", "~")):
        raise SpecError(
            "no such model folder", path, "give a folder, or a hub name such as Qwen/Qwen2.5-1.5B-Instruct"
        )
    return None


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that no trainer could load.

    Raises:
        SpecError: configuration, weights, tokenizer or chat template are missing.
    """
    if not (folder / "config.json").is_file():
        raise SpecError(
            "the model folder has no config.json", str(folder), "is this a Hugging Face model folder?"
        )
    if not weight_files(folder):
        raise SpecError(
            "the model folder has no weights", str(folder), "expected *.safetensors or pytorch_model*.bin"
        )
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise SpecError(
            "the model folder has no tokenizer",
            str(folder),
            "copy tokenizer.json and tokenizer_config.json into it",
        )
    has_template = (folder / "chat_template.jinja").is_file() or "chat_template" in _text(
        folder / "tokenizer_config.json"
    )
    if not has_template:
        raise SpecError(
            "the model's tokenizer has no chat template",
            str(folder),
            "use the instruct model, or add chat_template.jinja",
        )


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a model folder, sorted by name."""
    return sorted(p for pattern in WEIGHTS for p in folder.glob(pattern))


def fingerprint(folder: Path) -> str:
    """16 hex digits over configuration, tokenizer and weights (their names, sizes and both ends)."""
    whole = hashlib.sha256()
    for name in ("config.json", "chat_template.jinja", "tokenizer_config.json", *TOKENIZER_FILES):
        if (folder / name).is_file():
            whole.update(name.encode() + b"\0" + hashlib.sha256((folder / name).read_bytes()).digest())
    for weights in weight_files(folder):
        size = weights.stat().st_size
        whole.update(f"{weights.name}\0{size}".encode())
        with weights.open("rb") as stream:
            whole.update(stream.read(SAMPLE))
            stream.seek(max(0, size - SAMPLE))
            whole.update(stream.read(SAMPLE))
    return whole.hexdigest()[:16]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
