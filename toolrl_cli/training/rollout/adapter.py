"""The trainer's side of the weight transfer: runs in every trainer rank and sends weights to its server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import ray
import torch
from verl.workers.rollout.base import BaseRollout

from toolrl_cli.training.rollout.replica import server_name
from toolrl_cli.training.rollout.weights import pack


class TransformersRollout(BaseRollout):
    """verl's `BaseRollout` for the `transformers` rollout.

    A replica is one process on one device, so every trainer rank has a server and sends it all weights.
    Weights go through main memory and Ray's object store, bucket by bucket: the store never holds more than
    two buckets, on CPU and on CUDA.
    """

    def __init__(self, config: Any, model_config: Any, device_mesh: Any, replica_rank: int = -1) -> None:
        super().__init__(config, model_config, device_mesh)
        self._replica_rank = int(os.environ["RANK"]) if replica_rank < 0 else replica_rank
        self._server: Any = None

    @property
    def server(self) -> Any:
        """Handle of this rank's server, which starts later than the rank."""
        if self._server is None:
            self._server = ray.get_actor(server_name(self._replica_rank))
        return self._server

    async def resume(self, tags: list[str]) -> None:
        """Make the server allocate its memory again; `tags` are `weights` and `kv_cache`."""
        if self.config.free_cache_engine:
            await self.server.wake_up.remote(tags=tags)

    async def release(self) -> None:
        """Make the server free its memory."""
        if self.config.free_cache_engine:
            await self.server.sleep.remote()

    async def update_weights(
        self,
        weights: Iterator[tuple[str, torch.Tensor]],
        global_steps: int | None = None,
        wire_format: str = "named_tensors",
        peft_config: Any = None,
        **_: Any,
    ) -> None:
        """Send all weights to the server.

        Args:
            weights: yields (name, full tensor); a collective operation, so it is always read to the end.
            global_steps: training step the weights belong to.
            wire_format: only `named_tensors`.
            peft_config: must be None: adapters are sent merged (`model.lora.merge=True`).

        Raises:
            ValueError: an unsupported format or unmerged adapters.
        """
        if wire_format != "named_tensors" or peft_config is not None:
            raise ValueError(
                "the transformers rollout takes full weights only; set actor_rollout_ref.model.lora.merge=True"
            )
        bucket_bytes = self.config.checkpoint_engine.update_weights_bucket_megabytes << 20
        pending = None
        for bucket in pack(weights, bucket_bytes):
            if pending is not None:
                await pending
            pending = self.server.load_weights.remote(bucket)
        if pending is not None:
            await pending
        await self.server.finish_weights.remote(global_steps)
