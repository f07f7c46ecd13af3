"""`length`: words of the think block over a target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Component, Length
from toolrl_cli.rewards.errors import RewardError
from toolrl_cli.rewards.schedule import number_or_schedule


def read(name: str, raw: Mapping[str, Any], where: str, base: Path) -> Component:
    """See `ComponentKind.read`."""
    target = number_or_schedule(raw.get("target", 512.0), f"{where}.target")
    values = [target] if isinstance(target, float) else [value for _, (value,) in target.points]
    if min(values) <= 0:
        raise RewardError(f"{min(values):g} is no number of words to aim at", f"{where}.target", "above 0")
    return Length(name, target=target)


LENGTH = ComponentKind("length", read, keys=("target",), position=2)
