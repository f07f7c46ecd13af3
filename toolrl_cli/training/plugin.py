"""toolrl's plugin for verl: `import verl` imports it through the entry point group `verl.plugins`.

In any verl run it registers names only (the platform `cpu`, the rollout `transformers`). With `VERL_PLATFORM=cpu`
it also registers engines and adjusts torch; in toolrl's own runs it seeds torch, and on CUDA registers engines.

verl ignores exceptions of plugins, so every part of a run that needs this one calls `require_plugin`.
"""

from __future__ import annotations

import os

from toolrl_cli.errors import StageError
from toolrl_cli.training.seeding import seed_torch

#: Name of the platform, for `VERL_PLATFORM`.
CPU_PLATFORM = "cpu"
#: Name of the rollout, for `actor_rollout_ref.rollout.name`.
ROLLOUT_NAME = "transformers"

#: Set in a run on CUDA whose processes are to have toolrl's engines.
CUDA_ENGINES = "TOOLRL_CUDA_ENGINES"

_ADAPTER = "toolrl_cli.training.rollout.adapter.TransformersRollout"


def cpu_platform_selected() -> bool:
    """Whether this process was configured to run on the CPU; the lack of a GPU is not enough."""
    return os.environ.get("VERL_PLATFORM", "").strip().lower() == CPU_PLATFORM


def plugin_loaded() -> bool:
    """Whether toolrl's platform and rollout are registered in this process's verl."""
    from verl.plugin.platform import PlatformRegistry
    from verl.workers.rollout.base import _ROLLOUT_REGISTRY
    from verl.workers.rollout.replica import RolloutReplicaRegistry

    return (
        PlatformRegistry.get(CPU_PLATFORM) is not None
        and _ROLLOUT_REGISTRY.get((ROLLOUT_NAME, "async")) == _ADAPTER
        and ROLLOUT_NAME in RolloutReplicaRegistry._registry
        and _has_cuda_engines()
    )


def require_plugin() -> None:
    """Check that verl loaded the plugin.

    Raises:
        StageError: verl did not load it.
    """
    if not plugin_loaded():
        raise StageError(
            "verl did not load toolrl's plugin",
            hint="install toolrl in this environment, or set VERL_USE_EXTERNAL_MODULES=toolrl_cli.training.plugin",
            failure_class="config",
        )


def _has_cuda_engines() -> bool:
    if cpu_platform_selected() or CUDA_ENGINES not in os.environ:
        return True
    from toolrl_cli.training.cuda.engines import engines_registered

    return engines_registered()


def _register() -> None:
    from verl.plugin.platform import PlatformRegistry

    if PlatformRegistry.get(CPU_PLATFORM) is not None:
        return  # it may be named both as an entry point and in VERL_USE_EXTERNAL_MODULES

    from toolrl_cli.training.cpu.platform import CpuPlatform

    PlatformRegistry.register(CPU_PLATFORM)(CpuPlatform)
    _register_rollout()
    seed_torch()
    if cpu_platform_selected() or CUDA_ENGINES in os.environ:
        from toolrl_cli.training.nodes.patient_ray import be_patient

        be_patient()
    if cpu_platform_selected():
        from toolrl_cli.training.cpu.engines import register_engines
        from toolrl_cli.training.cpu.process_group import accept_duplicate_gloo

        accept_duplicate_gloo()
        register_engines()
    elif CUDA_ENGINES in os.environ:
        from toolrl_cli.training.cuda.engines import register_engines as register_cuda_engines

        register_cuda_engines()


def _register_rollout() -> None:
    from verl.workers.rollout.base import _ROLLOUT_REGISTRY
    from verl.workers.rollout.replica import RolloutReplica, RolloutReplicaRegistry

    def load() -> type[RolloutReplica]:
        from toolrl_cli.training.rollout.replica import TransformersReplica

        return TransformersReplica

    _ROLLOUT_REGISTRY[(ROLLOUT_NAME, "async")] = _ADAPTER
    RolloutReplicaRegistry.register(ROLLOUT_NAME, load)


_register()
