"""`format`: whether the turn has the fields that its ground truth has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Component, Format
from toolrl_cli.rewards.errors import one_of

BETWEEN = ("exact", "white_space", "text")


def read(name: str, raw: Mapping[str, Any], where: str, base: Path) -> Component:
    """See `ComponentKind.read`."""
    return Format(name, between=one_of(raw.get("between", "exact"), BETWEEN, f"{where}.between"))


FORMAT = ComponentKind("format", read, keys=("between",), position=0)
