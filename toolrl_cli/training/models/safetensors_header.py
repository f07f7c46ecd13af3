"""Reads the header of a safetensors file, without torch: 8 bytes of length, then JSON with every tensor's shape."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LIMIT = 100 << 20  # safetensors' own limit on its header
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        shapes: tensor → shape.
        size: bytes of the file when it is whole.
    """

    shapes: Mapping[str, Shape]
    size: int


def read_header(path: Path) -> Header:
    """The header of a safetensors file.

    Raises:
        ValueError: it is no such file, or its header is torn; the message says which.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(8)
        (length,) = struct.unpack("<Q", start) if len(start) == 8 else (0,)
        if not 2 <= length <= LIMIT:
            raise ValueError(f"{path.name} is no safetensors file ({path.stat().st_size} bytes)")
        text = stream.read(length)
    try:
        tensors = {name: told for name, told in json.loads(text).items() if name != "__metadata__"}
        ends = [int(told["data_offsets"][1]) for told in tensors.values()]
        shapes = {name: tuple(map(int, told["shape"])) for name, told in tensors.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise ValueError(f"the header of {path.name} is torn") from None
    return Header(shapes, 8 + length + max(ends, default=0))


def tensor_shapes(path: Path) -> Mapping[str, Shape] | None:
    """Tensor → shape; None where the file is no readable safetensors."""
    try:
        return read_header(path).shapes
    except (OSError, ValueError):
        return None
