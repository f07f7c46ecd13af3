"""A model folder that is whole by its headers, made without torch: two layers of four hidden units."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path

VOCABULARY, HIDDEN, LAYERS = 8, 4, 2
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
}
SHAPES: Mapping[str, tuple[int, ...]] = {
    "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
    **{f"model.layers.{n}.self_attn.q_proj.weight": (HIDDEN, HIDDEN) for n in range(LAYERS)},
}


def safetensors(shapes: Mapping[str, tuple[int, ...]] = SHAPES, fill: bytes = b"\0") -> bytes:
    """A safetensors file of fp32 tensors."""
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + fill * at


def write_model(folder: Path) -> Path:
    """A whole model folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    (folder / "model.safetensors").write_bytes(safetensors())
    return folder
