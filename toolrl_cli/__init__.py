"""toolrl: reward-design ablations of tool-use reinforcement learning, run with verl.

`toolrl_cli.api` has what the command line does as functions. They can be imported from here as well, all but `report`:
here that is the name of a room, whose import would take the function's place.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_API = frozenset({"curves", "plan", "plan_resume", "results", "resume", "reward", "run", "status", "stop"})


def __getattr__(name: str) -> Any:
    """The functions of `toolrl_cli.api`; imported when asked for, because `toolrl --help` needs none of them."""
    if name in _API:
        from toolrl_cli import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
