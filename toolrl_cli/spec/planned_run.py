"""A run with the stages that it consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolrl_cli.spec.stage import StageSpec


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run and its chain of stages, inputs first.

    Attributes:
        settings: the dotted settings that tell this arm from the others.
    """

    sweep: str
    id: str
    arm: str
    seed: int
    settings: Mapping[str, Any]
    stages: tuple[StageSpec, ...]

    def to_json(self) -> dict[str, Any]:
        """An entry of `runs` in `plan --json`."""
        return {"id": self.id, "arm": self.arm, "seed": self.seed, "stages": [s.id for s in self.stages]}
