"""What `import verl` gets from toolrl, with and without the CPU platform chosen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
import torch
import verl  # noqa: F401  # verl first, as in every process of a run: it imports the plugin
from verl.plugin.platform import PlatformRegistry
from verl.plugin.platform.platform_manager import _detect_platform_name
from verl.workers.rollout.base import _ROLLOUT_REGISTRY, get_rollout_class
from verl.workers.rollout.replica import get_rollout_replica_class

from toolrl_cli.errors import StageError
from toolrl_cli.training import plugin
from toolrl_cli.training.cpu.platform import CpuPlatform
from toolrl_cli.training.cuda.cuda_options import cuda_environment
from toolrl_cli.training.seeding import seed_environment

DEVICE_FUNCTIONS = """
    empty_cache current_device device_count set_device synchronize memory_allocated memory_reserved
    max_memory_allocated max_memory_reserved mem_get_info reset_peak_memory_stats get_rng_state set_rng_state
    manual_seed manual_seed_all ipc_collect get_device_name is_available Event Stream stream current_stream
    set_per_process_memory_fraction
"""
ROOT = Path(__file__).parents[2]
OTHERS = """
import json, sys, torch.distributed
import verl
from verl.plugin.platform import get_platform
original = torch.distributed.distributed_c10d.init_process_group
print(json.dumps({
    "platform": get_platform().device_name,
    "loaded": sys.modules["toolrl_cli.training.plugin"].plugin_loaded(),
    "untouched": torch.distributed.init_process_group is original,
    "imported": sorted(name for name in sys.modules if name.startswith("toolrl_cli.training.")),
    "engines": "verl.workers.engine" in sys.modules,
    "drawn": torch.rand(4).tolist(),
}))
"""


@lru_cache
def in_a_fresh_process(**environment: str) -> dict[str, object]:
    inherited = {key: value for key, value in os.environ.items() if key != "VERL_PLATFORM"}
    inherited |= {"VERL_USE_EXTERNAL_MODULES": "toolrl_cli.training.plugin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OTHERS],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_in_other_peoples_runs_it_only_registers() -> None:
    found = in_a_fresh_process()
    assert found["platform"] == "cuda"  # verl's own answer on a machine without an accelerator
    assert found["loaded"] is True
    assert found["untouched"] is True
    assert found["engines"] is False
    assert found["imported"] == [
        "toolrl_cli.training.cpu",
        "toolrl_cli.training.cpu.cpu_device",
        "toolrl_cli.training.cpu.platform",
        "toolrl_cli.training.plugin",
        "toolrl_cli.training.seeding",
    ]


CHOSEN = {"cpu": {"VERL_PLATFORM": "cpu"}, "cuda": cuda_environment()}


@pytest.mark.parametrize(("device", "seed"), [("cpu", 7), ("cuda", 8)])
def test_a_critic_s_head_is_drawn_by_the_run_s_seed(device: str, seed: int) -> None:
    """verl draws it from torch's global generator, on the CPU and on CUDA."""
    drawn = in_a_fresh_process(**seed_environment(seed), **CHOSEN[device])["drawn"]
    assert drawn == torch.rand(4, generator=torch.Generator().manual_seed(seed)).tolist()


def test_where_the_cpu_is_chosen_engines_and_process_group_follow() -> None:
    found = in_a_fresh_process(**seed_environment(7), **CHOSEN["cpu"])
    assert (found["platform"], found["untouched"], found["engines"]) == ("cpu", False, True)


def test_in_toolrls_runs_on_cuda_verls_engines_give_way_to_toolrls() -> None:
    found = in_a_fresh_process(**seed_environment(8), **CHOSEN["cuda"])
    assert found["engines"] is True and found["loaded"] is True


def test_the_cpu_is_never_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """verl asks every platform, also in processes of a GPU cluster that see no GPU."""
    monkeypatch.delenv("VERL_PLATFORM", raising=False)
    assert PlatformRegistry.get("cpu") is CpuPlatform
    assert not CpuPlatform().is_platform_available(use_smi_check=True)
    assert _detect_platform_name() != "cpu"
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    assert CpuPlatform().is_available()
    assert _detect_platform_name() == "cpu"


def test_the_rollout_is_found_by_its_name() -> None:
    assert get_rollout_class(plugin.ROLLOUT_NAME).__name__ == "TransformersRollout"
    assert get_rollout_replica_class(plugin.ROLLOUT_NAME).__name__ == "TransformersReplica"


def test_a_plugin_that_verl_passed_over_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin.require_plugin()
    monkeypatch.delitem(_ROLLOUT_REGISTRY, ("transformers", "async"))
    assert not plugin.plugin_loaded()
    with pytest.raises(StageError, match="did not load toolrl's plugin") as caught:
        plugin.require_plugin()
    assert caught.value.failure_class == "config"


def test_the_device_module_has_what_verl_asks_of_one() -> None:
    device = CpuPlatform().device_module
    for name in DEVICE_FUNCTIONS.split():
        assert callable(getattr(device, name)), name
    assert 0 < device.memory_allocated() <= device.max_memory_allocated()
    free, total = device.mem_get_info()
    assert 0 < free <= total
    state = device.get_rng_state()
    first = torch.rand(1)
    device.set_rng_state(state)
    assert torch.equal(torch.rand(1), first)
