"""Keys and values of a model's layers, in slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch


@dataclass
class KVSlots:
    """Keys and values of all layers in slots of equal capacity.

    Used slots are 0 … n-1 without gaps, so a pass reads plain slices.

    Attributes:
        slots: number of slots.
        capacity: positions per slot.
        layers: for each layer, keys and values of shape (slots, kv heads, capacity, head size).
    """

    slots: int
    capacity: int
    layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def layer(self, index: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The buffers of a layer, allocated on first use with the heads, size, type and device of `like`."""
        if index not in self.layers:
            shape = (self.slots, like.shape[1], self.capacity, like.shape[3])
            self.layers[index] = (like.new_zeros(shape), like.new_zeros(shape))
        return self.layers[index]

    def move(self, source: list[int], target: list[int], positions: int) -> None:
        """Copy the first `positions` entries of the `source` slots into the `target` slots."""
        for buffers in self.layers.values():
            for buffer in buffers:
                buffer[target, :, :positions] = buffer[source, :, :positions]

    def read(self, slot: int, positions: int) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
        """The first `positions` entries of a slot: for each layer, views of shape (kv heads, positions, head size)."""
        return {
            index: (keys[slot, :, :positions], values[slot, :, :positions])
            for index, (keys, values) in self.layers.items()
        }

    def write(
        self, slot: int, layers: Mapping[int, tuple[torch.Tensor, torch.Tensor]], positions: int
    ) -> None:
        """Copy the first `positions` entries of such `layers` into a slot."""
        for index, pair in layers.items():
            for buffer, part in zip(self.layers[index], pair, strict=True):
                buffer[slot, :, :positions] = part[:, :positions]

    def resize(self, slots: int, capacity: int, used: int) -> None:
        """Change the dimensions, keeping the first `used` slots, cut to the capacity.

        Buffers are replaced one at a time, so that no more than one of them exists twice.
        """
        positions = min(self.capacity, capacity)
        self.slots, self.capacity = slots, capacity
        for index in self.layers:
            for side in (0, 1):
                pair = list(self.layers[index])
                old = pair[side]
                new = old.new_zeros((slots, old.shape[1], capacity, old.shape[3]))
                new[:used, :, :positions] = old[:used, :, :positions]
                pair[side] = new
                self.layers[index] = (pair[0], pair[1])
                del old, pair
