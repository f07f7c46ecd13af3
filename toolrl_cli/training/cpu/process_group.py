"""Lets torch accept the process-group backend that verl requests on the CPU.

verl joins `cpu:gloo` and `<device>:<backend>`; on the CPU that is `cpu:gloo,cpu:gloo`, which torch refuses because
it names a device twice.
"""

from __future__ import annotations

import functools
from typing import Any

import torch.distributed

_DUPLICATE = "cpu:gloo,cpu:gloo"


def accept_duplicate_gloo() -> None:
    """Make `init_process_group` in this process read the doubled backend as gloo."""
    original = torch.distributed.init_process_group
    if getattr(original, "toolrl_accepts_duplicate_gloo", False):
        return

    @functools.wraps(original)
    def init_process_group(backend: str | None = None, *args: Any, **kwargs: Any) -> None:
        original("gloo" if backend == _DUPLICATE else backend, *args, **kwargs)

    init_process_group.toolrl_accepts_duplicate_gloo = True  # type: ignore[attr-defined]
    torch.distributed.init_process_group = init_process_group
