"""`correctness`: how well the calls match those of the ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Component, Correctness
from toolrl_cli.rewards.errors import one_of
from toolrl_cli.rewards.matching import GRANULARITIES


def read(name: str, raw: Mapping[str, Any], where: str, base: Path) -> Component:
    """See `ComponentKind.read`."""
    granularity = one_of(raw.get("granularity", "original"), GRANULARITIES, f"{where}.granularity")
    return Correctness(name, granularity=granularity)


CORRECTNESS = ComponentKind("correctness", read, keys=("granularity",), position=1)
