"""What a plan will take altogether, and whether that is within its limits."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.planning.forecasts.calibration import Calibration
from toolrl_cli.planning.forecasts.estimates import Estimate, Estimator
from toolrl_cli.planning.forecasts.fitting import Misfit, host_misfits, misfits, side_by_side
from toolrl_cli.planning.forecasts.makespan import Rehearsal
from toolrl_cli.planning.forecasts.measured import disk_use, on_gpus, seconds_used
from toolrl_cli.planning.forecasts.ranges import NONE, Range, total
from toolrl_cli.planning.forecasts.this_machine import Machine
from toolrl_cli.planning.forecasts.work import FindStage, Works
from toolrl_cli.planning.plan import Plan
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger

STARTED_LOOKS = 200
"""Most begun stages whose folders are measured to see what they have written already."""


@dataclass(frozen=True)
class Totals:
    """Sums over what is owed; None where none of it is known.

    Where a part is unknown the sum is over the rest, a least that it takes; `unknown` says of how many it is not.

    Attributes:
        seconds: until the last stage ends, on `slots` slots.
        gpu_hours, disk: of all owed stages.
        unknown: quantity → how many owed stages it is not known for.
        gpu_hours_spent: by the stages' attempts so far.
        disk_free: bytes.
        gpus: how many there are here.
        gpu_memory: of one of them, bytes, or None.
        memory: of this machine, bytes, or None.
        misfits: owed stages that are expected to need more than a GPU has, here or where they are meant for.
        host_misfits: owed stages that are expected to need more than this machine has.
    """

    slots: int
    parallel: int
    seconds: Range | None
    gpu_hours: Range | None
    disk: Range | None
    unknown: Mapping[str, int]
    gpu_hours_spent: float
    disk_free: int
    gpus: int = 0
    gpu_memory: int | None = None
    memory: int | None = None
    misfits: tuple[Misfit, ...] = ()
    host_misfits: tuple[Misfit, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The value of `totals` in `plan --json`."""
        return {
            "slots": self.slots,
            "max_parallel": self.parallel,
            **{
                name: found.to_json() if found else None
                for name, found in (
                    ("seconds", self.seconds),
                    ("gpu_hours", self.gpu_hours),
                    ("disk", self.disk),
                )
            },
            "unknown": dict(self.unknown),
            "gpu_hours_spent": self.gpu_hours_spent,
            "disk_free": self.disk_free,
            "gpus": self.gpus,
            "gpu_memory": self.gpu_memory,
            "memory": self.memory,
            "too_large": sum(len(misfit.stages) for misfit in (*self.misfits, *self.host_misfits)),
        }


@dataclass(frozen=True)
class Forecast:
    """Estimates of the owed stages, and their totals.

    Attributes:
        estimates: id → estimate, of owed stages alone.
    """

    estimates: Mapping[str, Estimate]
    totals: Totals

    def seconds(self, spec: StageSpec, fallback: float) -> float:
        """Expected seconds of a stage, for the order in which stages start."""
        estimate = self.estimates.get(spec.id)
        return estimate.seconds.expected if estimate and estimate.seconds else fallback


def forecast(
    plan: Plan,
    ledger: Ledger,
    machine: Machine,
    max_parallel: int | None = None,
    *,
    whole: Plan | None = None,
) -> Forecast:
    """Estimate everything that a plan owes.

    Args:
        plan: with the ledger's states.
        ledger: where finished stages are.
        machine: where it would run.
        max_parallel: most attempts at a time, or None for as many as the slots allow.
        whole: the sweep that `plan` is a part of, whose finished stages and spent hours count; None for itself.

    Raises:
        SpecError: the stages depend on each other in a circle.
    """
    works = Works(_finder(whole or plan, ledger), gpus_here=bool(machine.gpus))
    estimator = Estimator(works, Calibration(whole or plan, ledger, works), machine.gpu_total)
    owed = [plan.stages[spec.id] for spec in plan.owed]
    estimates = {stage.spec.id: estimator.estimate(stage) for stage in owed}
    specs = [stage.spec for stage in owed]
    on_cpu = all(estimate.device == "cpu" for estimate in estimates.values())
    if max_parallel is None and specs and on_cpu:
        max_parallel = side_by_side(specs, estimates, works, machine)
    slots, parallel = machine.slots(max((s.slots for s in specs), default=1), max_parallel, cpu=on_cpu)
    written = _written(plan, ledger)
    on_gpus_too = (e.gpu_hours for e in estimates.values() if on_cpu or e.device != "cpu")
    hours = [found for found in on_gpus_too if found is not None]
    sizes = [e.disk.less(written.get(i, 0)) for i, e in estimates.items() if e.disk is not None]
    totals = Totals(
        slots=slots,
        parallel=parallel,
        seconds=_makespan(specs, estimates, slots, parallel),
        gpu_hours=total(hours) if hours or not owed else None,
        disk=total(sizes) if sizes or not owed else None,
        unknown=_unknown(estimates.values()),
        gpu_hours_spent=gpu_hours_spent(whole or plan),
        disk_free=machine.free,
        gpus=len(machine.gpus),
        gpu_memory=machine.gpu_total,
        memory=machine.memory,
        misfits=misfits(specs, estimates, works, machine.gpu_total),
        host_misfits=host_misfits(specs, estimates, works, machine),
    )
    return Forecast(estimates, totals)


def _makespan(
    specs: Sequence[StageSpec], estimates: Mapping[str, Estimate], slots: int, parallel: int
) -> Range | None:
    """Seconds until the last stage ends; None where the time of none is known."""
    spans = {i: e.seconds for i, e in estimates.items() if e.seconds is not None}
    if not spans:
        return None if specs else NONE
    rehearsal = Rehearsal(specs, slots, parallel)
    ends = [
        rehearsal.makespan({i: getattr(span, bound) for i, span in spans.items()})
        for bound in ("low", "expected", "high")
    ]
    # list scheduling may end earlier with longer stages (Graham 1969); bounds stay in order all the same
    return Range(min(ends), ends[1], max(ends))


def _unknown(estimates: Iterable[Estimate]) -> dict[str, int]:
    """Quantity → of how many stages it is not known, where it applies."""
    found = dict.fromkeys(("seconds", "gpu_hours", "gpu_memory", "disk"), 0)
    for estimate in estimates:
        found["seconds"] += estimate.seconds is None
        found["gpu_hours"] += estimate.gpu_hours is None
        found["gpu_memory"] += estimate.gpu_memory is None and estimate.device != "cpu"
        found["disk"] += estimate.disk is None
    return found


def gpu_hours_spent(plan: Plan) -> float:
    """GPU-hours that attempts of the plan's stages have used, by the ledger.

    Whether a stage had GPUs is told by the slots of its last attempt.
    """
    now = time.time()
    return sum(
        seconds_used(stage.state, now) * stage.spec.slots / 3600
        for stage in plan.stages.values()
        if stage.state is not None and on_gpus(stage.state)
    )


def _written(plan: Plan, ledger: Ledger) -> dict[str, int]:
    """Bytes that begun, owed stages have written already; what is set back writes anew beside what is put aside."""
    states = ((spec, plan.stages[spec.id].state) for spec in plan.owed)
    begun = [s for s, state in states if state is not None and state.attempt and state.status != "pending"]
    return {spec.id: disk_use(ledger.folder(spec).path) for spec in begun[:STARTED_LOOKS]}


def _finder(plan: Plan, ledger: Ledger) -> FindStage:
    known: dict[str, StageSpec | None] = {}

    def find(stage_id: str) -> StageSpec | None:
        if stage_id in plan.stages:
            return plan.stages[stage_id].spec
        if stage_id not in known:
            known[stage_id] = _on_disk(ledger, stage_id)
        return known[stage_id]

    return find


def _on_disk(ledger: Ledger, stage_id: str) -> StageSpec | None:
    folder = ledger.find(stage_id)
    try:
        return folder.spec() if folder else None
    except LedgerError:  # torn, or of another version: nothing to learn from
        return None
