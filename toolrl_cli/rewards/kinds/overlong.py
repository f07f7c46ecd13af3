"""`overlong`: a penalty on responses that come near the most tokens that may be generated (DAPO)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Component, Overlong
from toolrl_cli.rewards.errors import RewardError, shown


def read(name: str, raw: Mapping[str, Any], where: str, base: Path) -> Component:
    """See `ComponentKind.read`."""
    for key in ("max_length", "buffer"):
        value = raw.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            told = f"{shown(value)} is no number of tokens" if key in raw else f"overlong needs {key!r}"
            raise RewardError(
                told, f"{where}.{key}", "max_length: as rl.max_response_length; buffer: below it"
            )
    if raw["buffer"] > raw["max_length"]:
        raise RewardError(
            f"{raw['buffer']} is above max_length", f"{where}.buffer", f"at most {raw['max_length']}"
        )
    clip = raw.get("clip", True)
    if not isinstance(clip, bool):
        raise RewardError(f"{shown(clip)} is neither true nor false", f"{where}.clip")
    return Overlong(name, max_length=raw["max_length"], buffer=raw["buffer"], clip=clip)


OVERLONG = ComponentKind("overlong", read, keys=("max_length", "buffer", "clip"), position=4)
