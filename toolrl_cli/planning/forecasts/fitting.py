"""Owed stages that will not fit on their GPUs, by the estimates, and what makes them fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from toolrl_cli.planning.forecasts.estimates import Estimate
from toolrl_cli.planning.forecasts.ranges import Range
from toolrl_cli.planning.forecasts.sizes import GIB, number_text
from toolrl_cli.planning.forecasts.work import Works
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_config import Change, TrainingConfig
from toolrl_cli.spec.stage_kind import settings_of
from toolrl_cli.training.models.gpu_memory import chosen_offload


@dataclass(frozen=True)
class Misfit:
    """Owed stages of the same shape that are expected to need more memory than a GPU has.

    Attributes:
        stages: their ids.
        what: what they are, in words.
        need: peak bytes on each GPU.
        room: bytes of one GPU.
        here: whether that GPU is one of this machine, or the one that `resources.gpu_memory` tells of.
        remedies: what helps, the simplest first.
    """

    stages: tuple[str, ...]
    what: str
    need: Range
    room: int
    here: bool
    remedies: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {len(self.stages) - 1} more" if len(self.stages) > 1 else ""
        need = "–".join(number_text(n / GIB) for n in (self.need.low, self.need.expected, self.need.high))
        whose = "that a GPU here has" if self.here else "of a GPU (resources.gpu_memory)"
        *others, last = self.remedies
        ways = f"{', '.join(others)} or {last}" if others else last
        return (
            f"{self.what} {self.stages[0]}{more} will not fit: {need} GiB are needed of the "
            f"{number_text(self.room / GIB)} GiB {whose}; {ways}"
        )


def misfits(
    stages: Iterable[StageSpec], estimates: Mapping[str, Estimate], works: Works, gpu_total: int | None
) -> tuple[Misfit, ...]:
    """What will not fit, by its shape; nothing of stages on CPUs, or where no size of a GPU is known.

    Args:
        stages: what is owed.
        estimates: id → estimate.
        works: tells what a stage has to do.
        gpu_total: bytes of one GPU here; None for those that the stages are meant for.
    """
    alike: dict[tuple[object, ...], list[StageSpec]] = {}
    for spec in stages:
        need, work = estimates[spec.id].gpu_memory, works.of(spec)
        room = gpu_total or work.gpu_memory
        if need is not None and room is not None and work.device != "cpu" and need.expected > room:
            alike.setdefault(work.shape, []).append(spec)
    found = []
    for specs in alike.values():
        first = specs[0]
        work, need = works.of(first), estimates[first.id].gpu_memory
        room = gpu_total or work.gpu_memory
        if need is not None and room is not None:
            ids = tuple(spec.id for spec in specs)
            found.append(Misfit(ids, work.kind, need, room, gpu_total is not None, _remedies(first)))
    return tuple(found)


def _remedies(spec: StageSpec) -> tuple[str, ...]:
    """Settings that change no result."""
    ways = []
    config = settings_of(spec)
    if isinstance(config, TrainingConfig) and chosen_offload(config) != "always":
        ways.append("--set resources.offload=always")
    change = config.with_less_memory()
    if isinstance(change, Change):
        ways.append(f"{change.key} under {change.old}")
    return (*ways, f"more than {spec.slots} {'GPU' if spec.slots == 1 else 'GPUs'} (resources.gpus)")
