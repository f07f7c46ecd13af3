"""Gives a node of Ray longer to begin than 30 s, which a busy machine or a cold network file system may take.

The limit is a number in `ray._private.node.Node.__init__` (Ray 2.60), which no option sets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import psutil

SECONDS = 240.0


def be_patient() -> None:
    """Let this process wait for the nodes that it starts; a second call changes nothing."""
    from ray._private import services

    if not hasattr(services.get_node, "__wrapped__"):
        services.get_node = patient(services.get_node)


def patient(get_node: Callable[..., Any], seconds: float = SECONDS) -> Callable[..., Any]:
    """A function that asks for a node until it is there; Ray's own raises RuntimeError where it is not yet."""

    @wraps(get_node)
    def waiting(*given: Any, **named: Any) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            try:
                return get_node(*given, **named)
            except RuntimeError:
                if time.monotonic() > deadline or _has_died():
                    raise
                time.sleep(0.2)

    return waiting


def _has_died() -> bool:
    """Whether a node that this process has started has ended already; nobody asks how until this one ends.

    It ends by itself, for one, where one of Ray's own agents has not begun within 15 s, a number in its raylet.
    """
    children = psutil.Process().children()
    return any(child.name() == "raylet" and child.status() == psutil.STATUS_ZOMBIE for child in children)
