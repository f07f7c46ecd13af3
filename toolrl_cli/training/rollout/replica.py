"""Starts the rollout server of one trainer rank, on that rank's node and device."""

from __future__ import annotations

from typing import Any

import ray
from verl.plugin.platform import get_platform
from verl.utils.fs import copy_to_local
from verl.workers.rollout.replica import RolloutReplica

from toolrl_cli.training.rollout.engine import EngineLimits
from toolrl_cli.training.rollout.model_loading import ServerSettings
from toolrl_cli.training.rollout.server import RolloutServer

#: Size of the key-value cache on the CPU unless `rollout.engine_kwargs.transformers.cache_gigabytes` is set.
CPU_CACHE_GIGABYTES = 1.0


def server_name(replica_rank: int) -> str:
    """Name of a replica's Ray actor, by which the trainer's rank finds it."""
    return f"transformers_server_{replica_rank}_0"


class TransformersReplica(RolloutReplica):
    """verl's `RolloutReplica` for the `transformers` rollout: one server on one device.

    `actor_rollout_ref.rollout.engine_kwargs.transformers` may hold `cache_gigabytes` (CPU) and `num_threads`.

    Raises:
        ValueError: the configuration asks for a parallel layout over several devices.
    """

    def __init__(self, replica_rank: int, config: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(replica_rank, config, *args, **kwargs)
        if self.world_size != 1:
            raise ValueError(
                f"the transformers rollout runs on one device per replica, not {self.world_size}: set "
                "rollout.tensor_model_parallel_size, data_parallel_size and pipeline_model_parallel_size to 1"
            )
        if self.is_reward_model or self.is_teacher_model:
            raise ValueError("the transformers rollout serves the policy only, not reward or teacher models")

    async def launch_servers(self) -> None:
        """Start the server on the rank's node and device."""
        platform = get_platform()
        worker = self.workers[0]
        node_id, devices = await worker.__ray_call__.remote(_whereabouts, platform.ray_resource_name())
        visible = None if platform.device_name == "cpu" else (platform.visible_devices_envvar(), devices)
        # the actor holds no GPU of its own, and Ray would hide all of them from it
        env_vars = dict.fromkeys(platform.ray_noset_envvars(), "1") | platform.rollout_env_vars()
        server = (
            ray.remote(RolloutServer)
            .options(
                name=server_name(self.replica_rank),
                max_concurrency=self.max_concurrency,
                scheduling_strategy=ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                    node_id=node_id, soft=False
                ),
                runtime_env={"env_vars": env_vars} if env_vars else None,
            )
            .remote(self._settings(platform.device_name), visible)
        )
        await server.ready.remote()
        self.servers = [server]
        self._server_handle = server
        # verl uses the address as the server's key in its load balancer; there is no HTTP port
        self._server_address = server_name(self.replica_rank)

    async def sleep(self) -> None:
        """Wait for running requests, then free the server's memory."""
        await self._server_handle.wait_for_requests_to_drain.remote()
        await super().sleep()

    def _settings(self, device: str) -> ServerSettings:
        config = self.config
        extra = dict((config.engine_kwargs or {}).get("transformers") or {})
        gigabytes = float(extra.pop("cache_gigabytes", CPU_CACHE_GIGABYTES))
        num_threads = int(extra.pop("num_threads", 0))
        if extra:
            raise ValueError(
                f"rollout.engine_kwargs.transformers: unknown {sorted(extra)}; known are cache_gigabytes, num_threads"
            )
        model = self.model_config
        overrides = dict(model.get("override_config") or {})
        overrides.pop("attn_implementation", None)
        return ServerSettings(
            model_path=copy_to_local(model.path),
            tokenizer_path=copy_to_local(model.get("tokenizer_path") or model.path),
            overrides=overrides,
            trust_remote_code=bool(model.get("trust_remote_code", False)),
            device=device,
            dtype=str(config.dtype),
            prompt_length=int(config.prompt_length),
            response_length=int(config.response_length),
            ignore_eos=bool(config.ignore_eos),
            seed=int(config.seed) + self.replica_rank,
            release_on_sleep=bool(config.free_cache_engine),
            cache_fraction=float(config.gpu_memory_utilization),
            limits=EngineLimits(
                rows=int(config.max_num_seqs),
                cache_bytes=int(gigabytes * (1 << 30)),
                prefill_tokens=int(config.max_num_batched_tokens),
            ),
            num_threads=num_threads,
        )


def _whereabouts(worker: Any, resource: str) -> tuple[str, str]:
    """Node and accelerator ids of the process that calls it."""
    context = ray.get_runtime_context()
    return context.get_node_id(), ",".join(context.get_accelerator_ids()[resource])
