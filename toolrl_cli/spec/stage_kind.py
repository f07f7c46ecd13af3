"""What a kind of stage is, and which kinds there are."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, cast

from toolrl_cli.errors import SpecError
from toolrl_cli.registry import Registry
from toolrl_cli.spec.stage import StageSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolrl_cli.spec.run.run_spec import RunSpec
    from toolrl_cli.spec.stage_config import StageConfig, TrainingConfig


@dataclass(frozen=True)
class StageKind:
    """One kind of stage: all that toolrl has to know of it.

    Attributes:
        name: as in `stages/<kind>/`.
        position: where it stands among the kinds when they are listed.
        function: `module:name` of what does the work, called with a `StageContext` in the attempt; imported only
            there, because it may import torch.
        make: `module:name` of what makes the stages of this kind for a run, where it may stand in a run's `train`:
            called with a `StageMaker`, the run and the stage whose model it starts from (None: the run's own model);
            the last of the stages that it gives leaves a model in `output/model`.
        config: the type of its settings, a `StageConfig`, as `module:name`: an attempt starts without pydantic.
        trains: whether it makes training steps and leaves checkpoints; its config is a `TrainingConfig` then.
        rooms: toolrl's rooms whose code decides what comes out of it.
        libraries: distributions whose version does so as well, where it is no part of the identity.
        least_outputs: files below `output/` that it leaves at least.
        start_up: seconds before its first step, and
        per_step: seconds of a step: for an order of stages where nothing is measured, so only ratios matter.
            Those of toolrl's kinds were measured on two cores with verl 0.9.1.
    """

    name: str
    position: int
    function: str
    config: str
    make: str = ""
    trains: bool = False
    rooms: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    least_outputs: tuple[str, ...] = ()
    start_up: float = 10.0
    per_step: float = 0.0

    @cached_property
    def settings_type(self) -> type[StageConfig]:
        """The type of its settings."""
        return cast("type[StageConfig]", _load(self.config))

    def maker(self) -> Callable[[Any, RunSpec, StageSpec | None], list[StageSpec]]:
        """What makes the stages of this kind for a run.

        Raises:
            SpecError: stages of this kind are not asked for in `train`.
        """
        if not self.make:
            raise SpecError(f"{self.name!r} is no kind of training", "train")
        return cast("Callable[[Any, RunSpec, StageSpec | None], list[StageSpec]]", _load(self.make))

    def expected_seconds(self, total_steps: int | None) -> float:
        """How long a stage may take, for want of anything measured."""
        return self.start_up + self.per_step * (total_steps or 0)


@cache
def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


STAGE_KINDS: Registry[StageKind] = Registry(
    "toolrl.stages", "toolrl_cli.spec.kinds", StageKind, "stage kind", SpecError
)


def kind_of(spec: StageSpec) -> StageKind:
    """The kind of a stage.

    Raises:
        SpecError: there is no such kind (its distribution is not installed).
    """
    return STAGE_KINDS.get(spec.kind, f"stage {spec.id}")


def settings_of(spec: StageSpec) -> StageConfig:
    """The typed config of a stage, whatever its kind.

    Raises:
        SpecError: there is no such kind, or the config is none of it.
    """
    return spec.settings(kind_of(spec).settings_type)


def training_settings(spec: StageSpec) -> TrainingConfig:
    """The typed config of a stage that trains.

    Raises:
        SpecError: there is no such kind, or it does not train.
    """
    from toolrl_cli.spec.stage_config import TrainingConfig

    found = settings_of(spec)
    if not isinstance(found, TrainingConfig):
        raise SpecError(f"a stage of kind {spec.kind!r} does not train", f"stage {spec.id}")
    return found


def trains(kind: str) -> bool:
    """Whether stages of a kind make training steps and leave checkpoints.

    Raises:
        SpecError: there is no such kind.
    """
    return STAGE_KINDS.get(kind).trains


def kinds_in_order() -> list[str]:
    """The names of all kinds, in the order in which a run has them."""
    return sorted(STAGE_KINDS.names(), key=lambda name: STAGE_KINDS.get(name).position)
