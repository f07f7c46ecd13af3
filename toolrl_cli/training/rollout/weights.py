"""Weights as flat byte buckets, packed by the trainer's rank and unpacked by the rollout server."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

_ALIGNMENT = 64


@dataclass(frozen=True)
class TensorSpec:
    """Position and type of a tensor in a bucket.

    Attributes:
        name: parameter name in Hugging Face's naming.
        shape: its shape.
        dtype: its type, such as `float32`.
        offset: first byte.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int


@dataclass(frozen=True)
class Bucket:
    """Some tensors in one buffer; a NumPy array travels through Ray's object store without being copied.

    Attributes:
        specs: its tensors.
        data: (bytes,) uint8.
    """

    specs: tuple[TensorSpec, ...]
    data: np.ndarray


def pack(weights: Iterable[tuple[str, torch.Tensor]], bucket_bytes: int) -> Iterator[Bucket]:
    """Gather tensors into buckets of about `bucket_bytes`, staged in main memory.

    A tensor is never split, so a bucket can be larger than `bucket_bytes` by one tensor. The source tensor is released
    before the next one is fetched, so that only one full tensor exists at a time.
    """
    specs: list[TensorSpec] = []
    parts: list[np.ndarray] = []
    size = 0
    for name, tensor in weights:
        raw = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy()
        if specs and size + raw.size > bucket_bytes:
            yield Bucket(tuple(specs), _join(parts, specs, size))
            specs, parts, size = [], [], 0
        specs.append(TensorSpec(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), size))
        parts.append(raw)
        size = -(-(size + raw.size) // _ALIGNMENT) * _ALIGNMENT
    if specs:
        yield Bucket(tuple(specs), _join(parts, specs, size))


def _join(parts: list[np.ndarray], specs: list[TensorSpec], size: int) -> np.ndarray:
    data = np.empty(size, dtype=np.uint8)
    for spec, part in zip(specs, parts, strict=True):
        data[spec.offset : spec.offset + part.size] = part
    return data


def unpack(bucket: Bucket) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a bucket; they share its buffer and must not be changed."""
    for spec in bucket.specs:
        dtype = getattr(torch, spec.dtype)
        count = int(np.prod(spec.shape, dtype=np.int64))
        if not count:
            yield spec.name, torch.empty(spec.shape, dtype=dtype)
            continue
        raw = np.frombuffer(bucket.data, dtype=np.uint8, count=count * dtype.itemsize, offset=spec.offset)
        with warnings.catch_warnings():
            # the object store's memory is read-only, and these tensors are only read
            warnings.filterwarnings("ignore", message=".*not writable.*")
            flat = torch.from_numpy(raw)
        yield spec.name, flat.view(dtype).reshape(spec.shape)


class WeightLoader:
    """Copies named tensors into a model's parameters and buffers and tracks the missing ones.

    Args:
        model: the receiving model; types are converted on copying.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._targets = dict(model.named_parameters(remove_duplicate=False))
        self._targets.update(model.named_buffers(remove_duplicate=False))
        self._required = {id(tensor): name for name, tensor in model.named_parameters()}
        self._loaded: set[int] = set()

    @torch.no_grad()
    def load(self, bucket: Bucket) -> None:
        """Copy a bucket.

        Raises:
            KeyError: the model has no tensor of that name.
            ValueError: a shape differs.
        """
        for name, tensor in unpack(bucket):
            target = self._targets.get(name)
            if target is None:
                raise KeyError(f"the rollout model has no parameter {name!r}")
            if target.shape != tensor.shape:
                raise ValueError(
                    f"{name}: shape {tuple(tensor.shape)} does not fit {tuple(target.shape)} of the rollout model"
                )
            target.copy_(tensor)
            self._loaded.add(id(target))

    def finish(self) -> None:
        """End one transfer and start the next.

        Raises:
            ValueError: parameters were not sent, so that the model would mix two policies.
        """
        missing = [name for key, name in self._required.items() if key not in self._loaded]
        self._loaded.clear()
        if missing:
            raise ValueError(
                f"weight transfer left out {len(missing)} parameters, the first is {missing[0]!r}"
            )
