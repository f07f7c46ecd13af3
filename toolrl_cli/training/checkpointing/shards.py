"""The shards of one model that verl 0.9.1 saved with FSDP, and its whole tensors.

    model_world_size_W_rank_R.pt   name → DTensor of rank R's part, or a plain tensor that every rank has
    lora_train_meta.json           rank `r` and `lora_alpha` of the adapters, where there are any

With LoRA the names are peft's: `base_model.model.` before all of them, `.base_layer` in those of an adapted module,
`.lora_A.default.weight` (r × in) and `.lora_B.default.weight` (out × r) beside them. The files are mapped into memory
and read tensor by tensor.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from toolrl_cli.errors import StageError
from toolrl_cli.training.checkpointing.chosen_checkpoint import CANNOT_HELP

LORA_META = "lora_train_meta.json"
_FIRST = re.compile(r"^model_world_size_(\d+)_rank_0\.pt$")
_PEFT = "base_model.model."


class Shards:
    """The model of one checkpoint.

    Args:
        folder: `global_step_N/actor`, or `global_step_N` after SFT; whole, as `checkpoints.torn_model` says.

    Raises:
        StageError: adapters of another form than LoRA's, or without their scale.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        world = next(int(match[1]) for path in folder.iterdir() if (match := _FIRST.match(path.name)))
        first = self._open(world, 0)
        meshes = [tensor.device_mesh.shape for tensor in first.values() if isinstance(tensor, DTensor)]
        # of a mesh of replicas (HSDP), the first one's ranks hold everything
        ranks = meshes[0][-1] if meshes else world
        self._ranks = [first, *(self._open(world, rank) for rank in range(1, ranks))]
        self._keys = {plain_name(key): key for key in first if ".lora_" not in key}
        adapters = {key for key in first if ".lora_" in key}
        self._adapters = {key.partition(".lora_")[0] for key in adapters}
        known = {_adapter(module, part) for module in self._adapters for part in "AB"}
        if adapters != known:
            raise self._unusable(f"{min(adapters ^ known)} belongs to no adapter of LoRA's plain form")
        self._scale = self._lora_scale() if self._adapters else 0.0
        self._merged: set[str] = set()

    @property
    def names(self) -> set[str]:
        """The names of the model's tensors, without adapters."""
        return set(self._keys)

    def tensor(self, name: str, *, transposed: bool = False) -> torch.Tensor:
        """A whole tensor, with its adapter added in fp32: W + (α/r)·B·A.

        Args:
            name: as in `names`.
            transposed: whether its module keeps the weight as (in, out), as GPT-2's `Conv1D` does.

        Returns:
            Of the saved type, or fp32 where an adapter is added. It may share its memory with the file.

        Raises:
            StageError: the ranks contradict each other.
        """
        key = self._keys[name]
        whole = self._whole(key)
        module = key.removesuffix(".base_layer.weight")
        if module not in self._adapters:
            return whole
        self._merged.add(module)
        low, high = (self._whole(_adapter(module, part)).float() for part in "AB")
        change = high @ low * self._scale
        return whole.float() + (change.T if transposed else change)

    def check_all_merged(self) -> None:
        """Refuse adapters that no tensor has taken.

        Raises:
            StageError: with the first of them.
        """
        if left := self._adapters - self._merged:
            raise self._unusable(f"no weight of the model takes the adapter of {min(left)}")

    def _open(self, world: int, rank: int) -> dict[str, Any]:
        path = self.folder / f"model_world_size_{world}_rank_{rank}.pt"
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=False, mmap=True)
        return state

    def _whole(self, key: str) -> torch.Tensor:
        """All ranks' parts of one entry, put together along the dimension that it is sharded in."""
        try:
            parts = [rank[key] for rank in self._ranks]
        except KeyError:
            raise self._unusable(f"not every rank has {key}") from None
        first = parts[0]
        if not isinstance(first, DTensor):
            if not all(torch.equal(first, part) for part in parts[1:]):
                raise self._unusable(f"{key} is not sharded, and its ranks differ")
            return first  # type: ignore[no-any-return]
        placement = first.placements[-1]
        local = [part._local_tensor for part in parts]
        if placement.is_replicate():
            return local[0]  # type: ignore[no-any-return]
        if not placement.is_shard():
            raise self._unusable(f"{key} is placed as {placement}")
        whole = local[0] if len(local) == 1 else torch.cat(local, dim=placement.dim)
        if whole.shape != first.shape:
            raise self._unusable(f"the parts of {key} are {tuple(whole.shape)}, not {tuple(first.shape)}")
        return whole

    def _lora_scale(self) -> float:
        """α/r, as the training wrote it down."""
        try:
            meta = json.loads((self.folder / LORA_META).read_bytes())
            rank, alpha = int(meta["r"]), float(meta["lora_alpha"])
        except (OSError, ValueError, KeyError, TypeError):
            raise self._unusable(f"it has adapters, and {LORA_META} does not say their scale") from None
        key = _adapter(min(self._adapters), "A")
        shape = tuple(self._ranks[0][key].shape)
        if shape[:1] != (rank,) or alpha <= 0:
            raise self._unusable(f"{LORA_META} says rank {rank} and alpha {alpha:g}, and {key} is {shape}")
        return alpha / rank

    def _unusable(self, what: str) -> StageError:
        hint = "it was written by something else than toolrl's trainings, or is damaged; train again"
        return StageError(what, str(self.folder), hint, failure_class=CANNOT_HELP)


def _adapter(module: str, part: str) -> str:
    return f"{module}.lora_{part}.default.weight"


def plain_name(key: str) -> str:
    """A tensor's name in the model without adapters."""
    return key.removeprefix(_PEFT).replace(".base_layer.", ".")
