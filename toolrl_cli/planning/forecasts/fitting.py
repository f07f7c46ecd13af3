"""Owed stages that will not fit into the memory of their GPUs or of this machine, and what makes them fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from toolrl_cli.planning.forecasts.estimates import Estimate
from toolrl_cli.planning.forecasts.ranges import Range
from toolrl_cli.planning.forecasts.sizes import GIB, number_text
from toolrl_cli.planning.forecasts.this_machine import Machine
from toolrl_cli.planning.forecasts.work import Works
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_config import Change, TrainingConfig
from toolrl_cli.spec.stage_kind import settings_of
from toolrl_cli.training.cpu.cpu_options import SMALL_MODEL, usable_cpus
from toolrl_cli.training.models.gpu_memory import chosen_offload


@dataclass(frozen=True)
class Misfit:
    """Owed stages of the same shape that are expected to need more memory than there is.

    Attributes:
        stages: their ids.
        what: what they are, in words.
        need: peak bytes, on each GPU or on the machine.
        room: bytes of one GPU or of the machine.
        whose: what has the room, in words.
        remedies: what helps, the simplest first.
    """

    stages: tuple[str, ...]
    what: str
    need: Range
    room: int
    whose: str
    remedies: tuple[str, ...]

    @property
    def need_text(self) -> str:
        """`70–85–100 GiB`."""
        return (
            "–".join(number_text(n / GIB) for n in (self.need.low, self.need.expected, self.need.high))
            + " GiB"
        )

    @property
    def ways(self) -> str:
        """The remedies in one clause."""
        *others, last = self.remedies
        return f"{', '.join(others)} or {last}" if others else last

    def __str__(self) -> str:
        more = f" and {len(self.stages) - 1} more" if len(self.stages) > 1 else ""
        return (
            f"{self.what} {self.stages[0]}{more} will not fit: {self.need_text} are needed of the "
            f"{number_text(self.room / GIB)} GiB {self.whose}; {self.ways}"
        )


def misfits(
    stages: Iterable[StageSpec], estimates: Mapping[str, Estimate], works: Works, gpu_total: int | None
) -> tuple[Misfit, ...]:
    """What will not fit on GPUs, by its shape; nothing of stages on CPUs, or where no size of a GPU is known.

    Args:
        stages: what is owed.
        estimates: id → estimate.
        works: tells what a stage has to do.
        gpu_total: bytes of one GPU here; None for those that the stages are meant for.
    """
    whose = "that a GPU here has" if gpu_total is not None else "of a GPU (resources.gpu_memory)"

    def beyond(spec: StageSpec) -> tuple[Range, int] | None:
        need, work = estimates[spec.id].gpu_memory, works.of(spec)
        room = gpu_total or work.gpu_memory
        too_large = need is not None and room is not None and work.device != "cpu" and need.expected > room
        return (need, room) if too_large else None  # type: ignore[return-value]

    return _alike(stages, works, beyond, whose, _gpu_remedies)


def host_misfits(
    stages: Iterable[StageSpec], estimates: Mapping[str, Estimate], works: Works, machine: Machine
) -> tuple[Misfit, ...]:
    """What will not fit into the memory of this machine, by its shape; nothing of what is planned for others."""

    def beyond(spec: StageSpec) -> tuple[Range, int] | None:
        need = estimates[spec.id].memory
        here = works.of(spec).device == "cpu" or bool(machine.gpus)
        too_large = (
            need is not None and machine.memory is not None and here and need.expected > machine.memory
        )
        return (need, machine.memory) if too_large else None  # type: ignore[return-value]

    return _alike(stages, works, beyond, "of memory here", _host_remedies(works))


def side_by_side(
    stages: Iterable[StageSpec], estimates: Mapping[str, Estimate], works: Works, machine: Machine
) -> int:
    """Attempts that this machine runs at a time on its CPUs where nobody says how many.

    A small model keeps one processor busy, so there is one attempt for each, as far as memory goes; a larger one
    uses all of them, and two would only wait for each other (benches/bench_threads.py).

    Args:
        stages: what is owed, all of it on CPUs.
        estimates: id → estimate.
        works: tells what a stage has to do.
        machine: where it would run.
    """
    most = 1.0
    for spec in stages:
        size, need = works.of(spec).size, estimates[spec.id].memory
        if size is None or size.parameters >= SMALL_MODEL or need is None:
            return 1
        most = max(most, need.high)
    return max(1, min(usable_cpus(), int((machine.memory or 0) // most)))


def _alike(
    stages: Iterable[StageSpec],
    works: Works,
    beyond: Callable[[StageSpec], tuple[Range, int] | None],
    whose: str,
    remedies: Callable[[StageSpec], tuple[str, ...]],
) -> tuple[Misfit, ...]:
    alike: dict[tuple[object, ...], list[StageSpec]] = {}
    for spec in stages:
        if beyond(spec) is not None:
            alike.setdefault(works.of(spec).shape, []).append(spec)
    found = []
    for specs in alike.values():
        too_large = beyond(specs[0])
        if too_large is not None:
            ids = tuple(spec.id for spec in specs)
            found.append(Misfit(ids, works.of(specs[0]).kind, *too_large, whose, remedies(specs[0])))
    return tuple(found)


def _gpu_remedies(spec: StageSpec) -> tuple[str, ...]:
    """Settings that change no result."""
    ways = []
    config = settings_of(spec)
    if isinstance(config, TrainingConfig) and chosen_offload(config) != "always":
        ways.append("--set resources.offload=always")
    change = config.with_less_memory()
    if isinstance(change, Change):
        ways.append(f"{change.key} under {change.old}")
    return (*ways, f"more than {spec.slots} {'GPU' if spec.slots == 1 else 'GPUs'} (resources.gpus)")


def _host_remedies(works: Works) -> Callable[[StageSpec], tuple[str, ...]]:
    def remedies(spec: StageSpec) -> tuple[str, ...]:
        on_cpu = works.of(spec).device == "cpu"
        change = settings_of(spec).with_less_memory()
        less = (f"{change.key} under {change.old}",) if on_cpu and isinstance(change, Change) else ()
        never = () if on_cpu else ("--set resources.offload=never",)
        elsewhere = ("a smaller model", "--set resources.device=cuda to plan for GPUs elsewhere")
        known = (
            ("--set resources.memory=GIB where you know what it takes",) if spec.kind in ("sft", "rl") else ()
        )
        return (*less, *never, *(elsewhere if on_cpu else ("a machine with more memory",)), *known)

    return remedies
