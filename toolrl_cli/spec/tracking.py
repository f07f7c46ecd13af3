"""`tracking:` of a sweep: where Weights & Biases keeps it, what it gets, and when."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from toolrl_cli.spec.models import Frozen

Mode = Literal["online", "offline", "disabled"]
MODES: tuple[Mode, ...] = ("online", "offline", "disabled")
Artifact = Literal["report", "checkpoints"]


class Tracking(Frozen):
    """How a sweep is shown in W&B; no part of what any stage is."""

    project: str | None = Field(
        None, min_length=1, max_length=128, description="default $WANDB_PROJECT, then toolrl"
    )
    entity: str | None = Field(None, min_length=1, description="user or team; default: that of the login")
    tags: list[str] = Field([], description="of every run, beside its axes and seed")
    notes: str = Field("", description="of every run; default: the sweep's description")
    mode: Mode | None = Field(None, description="default: $WANDB_MODE, then online where a login is found")
    every: Literal["step", "checkpoint"] = Field(
        "step", description="send each step at once, or once a checkpoint holds it"
    )
    artifacts: list[Artifact] = Field(["report"], description="files that go along: report, checkpoints")
