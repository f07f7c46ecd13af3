"""What a server is started with, as one JSON argument of its process. Imports nothing heavy."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

KEY_VARIABLE = "TOOLRL_SERVER_KEY"
"""Environment variable that holds the key of a server that toolrl starts; empty for none."""


@dataclass(frozen=True)
class ServeSettings:
    """Plain values that the server's process starts with.

    Attributes:
        model: Hugging Face folder or hub name; also what requests call it.
        device: `cpu` or `cuda`.
        dtype: torch's name of the weights' type, such as `float32`.
        rows: answers generated at once.
        gpu_share: share of the free GPU memory that the key-value cache may take.
        cache_bytes: of the key-value cache on a CPU.
        max_model_len: most tokens of a prompt and its answer; None for the model's positions.
        queue: unfinished answers, waiting ones included; more are refused with 429.
        socket: descriptor of the bound socket that it inherits.
    """

    model: str
    device: str
    dtype: str
    rows: int
    gpu_share: float
    cache_bytes: int
    max_model_len: int | None
    queue: int
    socket: int

    def to_argument(self) -> str:
        """As an argument of the process."""
        return json.dumps(asdict(self))

    @classmethod
    def of_argument(cls, text: str) -> ServeSettings:
        """The inverse of `to_argument`."""
        return cls(**json.loads(text))
