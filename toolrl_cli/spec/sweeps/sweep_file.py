"""The sweep file: its schema."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from toolrl_cli.spec.run.frozen import Frozen, Whole

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LONGEST_PROJECT = 128
NOT_IN_PROJECTS = "/\\#?%:"
"""Characters that W&B refuses in a project's name (`wandb.Settings.validate_project`, wandb 0.31)."""


Mode = Literal["online", "offline", "disabled"]
MODES: tuple[Mode, ...] = ("online", "offline", "disabled")


class SeedRange(Frozen):
    """`{range: [0, 5]}`: 0, 1, 2, 3, 4."""

    range: tuple[Whole, Whole]


class Ablate(Frozen):
    """A baseline and one change at a time."""

    baseline: dict[str, Any] = Field({}, description="settings of the arm `baseline`")
    change: dict[str, dict[str, Any]] = Field(description="arm name → the settings that differ")


class Tracking(Frozen):
    """How a sweep is shown in W&B; no part of what any stage is."""

    project: str | None = Field(
        None, min_length=1, max_length=LONGEST_PROJECT, description="default $WANDB_PROJECT, then toolrl"
    )
    entity: str | None = Field(None, min_length=1, description="user or team; default: that of the login")
    tags: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        [], description="of every run, beside its axes and seed"
    )
    notes: str = Field("", description="of every run; default: the sweep's description")
    mode: Mode | None = Field(None, description="default: $WANDB_MODE, then online where a login is found")
    every: Literal["step", "checkpoint"] = Field(
        "step", description="send each step at once, or once a checkpoint holds it"
    )
    artifacts: list[Literal["report", "checkpoints"]] = Field(
        ["report"], description="files that go along: report, checkpoints"
    )
    loggers: list[Literal["tensorboard", "mlflow", "trackio", "swanlab"]] = Field(
        [], description="get the same rows beside W&B"
    )

    @field_validator("project")
    @classmethod
    def _project(cls, name: str | None) -> str | None:
        if name is not None and (why := project_fault(name)):
            raise ValueError(why)
        return name


def project_fault(name: str) -> str:
    """Why W&B takes no project of this name; empty where it does."""
    if len(name) > LONGEST_PROJECT:
        return f"W&B takes {LONGEST_PROJECT} characters of a project's name, and this has {len(name)}"
    bad = [character for character in NOT_IN_PROJECTS if character in name]
    hint = "; the team goes into `entity`" if "/" in bad else ""
    return f"W&B takes no {' '.join(bad)} in a project's name, and this is {name!r}{hint}" if bad else ""


class SweepFile(Frozen):
    """One YAML file: a base, axes or named arms, seeds, evaluations."""

    name: str = Field(json_schema_extra={"pattern": f"^{NAME.pattern}$", "maxLength": 80})
    description: str = ""
    base: dict[str, Any] = Field({}, description="settings of every run; `preset:` names a shipped base")
    models: list[str | dict[str, Any]] = Field([], description="shorthand for the outermost axis `model`")
    axes: dict[str, list[Any]] = Field({}, description="dotted key → values; all combinations")
    zip: dict[str, list[Any]] = Field({}, description="dotted key → values; paired by position")
    arms: dict[str, dict[str, Any]] = Field(
        {}, description="arm name → settings; for tables that are no grid"
    )
    ablate: Ablate | None = None
    when: dict[str, dict[str, Any]] = Field({}, description="axis → condition under which it applies")
    exclude: list[dict[str, Any]] = Field([], description="conditions; a cell that one matches is left out")
    include: list[dict[str, Any]] = Field(
        [], description="further cells: settings, and `arm:` for their name"
    )
    seeds: list[Whole] | SeedRange = Field([1])
    evaluate: list[str | dict[str, Any]] = Field(
        [], description="benchmarks that every run is evaluated on; {benchmark:, every:} also on the way"
    )
    tables: list[str] = Field([], description="tables of the report, by name or file")
    tracking: Tracking = Field(Tracking(), description="Weights & Biases; changes no stage")
    launchers: dict[str, dict[str, Any]] = Field(
        {}, description="launcher → its settings, such as slurm: {partition: main}; changes no stage"
    )

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str) -> str:
        if not NAME.fullmatch(name) or len(name) > 80:
            what = "a letter or digit, then letters, digits, '.', '_' and '-'; 80 at most"
            raise ValueError(f"{name!r} cannot name a folder: {what}")
        return name

    def seed_values(self) -> Sequence[int]:
        """The seeds, in order; a range is not spelt out."""
        if isinstance(self.seeds, SeedRange):
            return range(*self.seeds.range)
        return self.seeds
