"""Creates a Qwen2-architecture model that is small enough to train on two CPU cores, from a seed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.datasets.folders import build_folder
from toolrl_cli.training.models.tiny_init import start_from_copying_heads
from toolrl_cli.training.models.tiny_tokenizer import PAD, TURN_END, write_tokenizer

TINY_MODEL_VERSION = 2
MARKER = "tiny_model.json"


@dataclass(frozen=True)
class TinyShape:
    """Sizes of the model; the quickstart was tuned with the defaults."""

    hidden_size: int = 64
    intermediate_size: int = 192
    num_hidden_layers: int = 3
    num_attention_heads: int = 2
    initializer_range: float = 0.1
    max_position_embeddings: int = 8192


def tiny_model_identity(seed: int, shape: TinyShape | None = None) -> dict[str, Any]:
    """Everything that determines the weights, for a stage's identity."""
    return {"tiny_model": TINY_MODEL_VERSION, "seed": seed, **asdict(shape or TinyShape())}


def make_tiny_model(out_dir: Path, seed: int = 0, shape: TinyShape | None = None) -> Path:
    """Write a randomly initialised model and its tokenizer to `out_dir` as a Hugging Face folder.

    A folder with the model of the same seed and shape is left as it is. The folder appears complete or not at all.
    The global random state is not changed.

    Args:
        out_dir: the folder to create.
        seed: of the weights.
        shape: sizes; `TinyShape()` when None.

    Returns:
        `out_dir`.
    """
    shape = shape or TinyShape()
    identity = tiny_model_identity(seed, shape)

    def is_made(folder: Path) -> bool:
        marker = folder / MARKER
        return marker.is_file() and json.loads(marker.read_text(encoding="utf-8")) == identity

    def fill(folder: Path) -> None:
        _write_model(folder, seed, shape)
        (folder / MARKER).write_text(json.dumps(identity), encoding="utf-8")

    build_folder(out_dir, fill, is_made)
    return out_dir


def _write_model(folder: Path, seed: int, shape: TinyShape) -> None:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM
    from transformers.utils import logging

    token_ids = write_tokenizer(folder, shape.max_position_embeddings)
    config = Qwen2Config(
        vocab_size=len(token_ids),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_attention_heads,
        initializer_range=shape.initializer_range,
        max_position_embeddings=shape.max_position_embeddings,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=token_ids[TURN_END],
        pad_token_id=token_ids[PAD],
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2ForCausalLM(config)
        start_from_copying_heads(model)
    model.generation_config.eos_token_id = token_ids[TURN_END]
    model.generation_config.pad_token_id = token_ids[PAD]
    logging.disable_progress_bar()
    model.save_pretrained(folder)
