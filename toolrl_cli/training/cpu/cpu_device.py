"""The functions of a `torch.<device>` module that verl calls, for the CPU: `torch.cpu` lacks most of them.

Memory is that of this process, so that verl's `perf/max_memory_allocated_gb` means something.
"""

from __future__ import annotations

import resource
from typing import Any

import psutil
import torch
from torch.cpu import (
    Event,
    Stream,
    current_stream,
    stream,
)

__all__ = [
    "Event",
    "Stream",
    "current_device",
    "current_stream",
    "device_count",
    "empty_cache",
    "get_device_name",
    "get_rng_state",
    "ipc_collect",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "set_device",
    "set_per_process_memory_fraction",
    "set_rng_state",
    "stream",
    "synchronize",
]


def is_available() -> bool:
    """A CPU is always there."""
    return True


def current_device() -> int:
    """Index of the only device."""
    return 0


def device_count() -> int:
    """One."""
    return 1


def set_device(_: Any) -> None:
    """There is one CPU."""


def synchronize(_: Any = None) -> None:
    """CPU operations are complete when they return."""


def get_device_name(_: Any = None) -> str:
    """Name for logs and FLOPS tables."""
    return "cpu"


def empty_cache() -> None:
    """The allocator keeps no cache."""


def ipc_collect() -> None:
    """No device handles are shared."""


def reset_peak_memory_stats(_: Any = None) -> None:
    """The kernel's high-water mark cannot be reset."""


def set_per_process_memory_fraction(*_: Any) -> None:
    """No limit is kept per process."""


def memory_allocated(_: Any = None) -> int:
    """Resident bytes of this process."""
    return int(psutil.Process().memory_info().rss)


def memory_reserved(_: Any = None) -> int:
    """The same: nothing is reserved beyond what is used."""
    return memory_allocated()


def max_memory_allocated(_: Any = None) -> int:
    """Largest resident size of this process so far, in bytes."""
    # the kernel updates its high-water mark with a delay
    return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, memory_allocated())


def max_memory_reserved(_: Any = None) -> int:
    """The same: nothing is reserved beyond what is used."""
    return max_memory_allocated()


def mem_get_info(_: Any = None) -> tuple[int, int]:
    """Free and total bytes of main memory."""
    memory = psutil.virtual_memory()
    return int(memory.available), int(memory.total)


def manual_seed(seed: int) -> None:
    """Seed torch."""
    torch.manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Seed torch."""
    torch.manual_seed(seed)


def get_rng_state(_: Any = None) -> torch.Tensor:
    """State of torch's CPU generator."""
    return torch.get_rng_state()


def set_rng_state(state: torch.Tensor, _: Any = None) -> None:
    """Set torch's CPU generator."""
    torch.set_rng_state(state)
