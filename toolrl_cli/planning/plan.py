"""What a sweep needs: its stages as one graph, with what is done, owed, running and blocked, and why."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.planning.losses import Loss, look
from toolrl_cli.spec.evaluations.benchmarks import why_blocked
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import StageState


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage with its standing.

    Attributes:
        status: a status word of the ledger, `pending` where nothing was ever started; or `blocked` where an
            input has failed or is blocked itself, or where this version has no way to run it.
        owed: it still has to run.
        reason: why it will or will not run, in one clause.
        state: what the ledger says of it; None where nothing was ever started.
        loss: what it has lost since it succeeded, if anything.
    """

    spec: StageSpec
    status: str
    owed: bool
    reason: str
    state: StageState | None = field(default=None, compare=False, repr=False)
    loss: Loss | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """What an entry of `stages` in `plan --json` begins with."""
        return {
            "id": self.spec.id,
            "kind": self.spec.kind,
            "status": self.status,
            "owed": self.owed,
            "reason": self.reason,
            "inputs": dict(self.spec.inputs),
        }


@dataclass(frozen=True)
class Plan:
    """A sweep's runs and stages; inputs come before what reads them.

    Attributes:
        runs: the runs, in the order of the sweep file.
        stages: id → stage; equal stages are one.
        tables: names of the tables that the sweep asks for.
        tracking: what it says of W&B, see `spec.sweeps.sweep_file.Tracking`.
        launchers: launcher → what it says of it.
    """

    sweep: str
    runs: tuple[PlannedRun, ...]
    stages: Mapping[str, PlannedStage]
    tables: tuple[str, ...] = ()
    description: str = ""
    tracking: Mapping[str, Any] = field(default_factory=dict)
    launchers: Mapping[str, Any] = field(default_factory=dict)

    def selected(self, pattern: str | None) -> Plan:
        """The runs whose id or arm matches a shell pattern, with their stages; all for None.

        Raises:
            SpecError: nothing matches.
        """
        if pattern is None:
            return self
        runs = tuple(
            r for r in self.runs if any(n == pattern or fnmatch.fnmatch(n, pattern) for n in (r.id, r.arm))
        )
        if not runs:
            arms = {r.arm for r in self.runs}
            raise SpecError(f"no run matches {pattern!r}", "--only", hint_for(pattern, arms, "arms"))
        wanted = {stage.id for run in runs for stage in run.stages}
        stages = {i: s for i, s in self.stages.items() if i in wanted}
        return replace(self, runs=runs, stages=stages)

    @cached_property
    def owed(self) -> list[StageSpec]:
        """The stages that still have to run and can, inputs first."""
        return [s.spec for s in self.stages.values() if s.owed and why_blocked(s.spec) is None]

    @property
    def losses(self) -> dict[str, Loss]:
        """What stages have lost since they succeeded, what reads before what is read."""
        return {i: s.loss for i, s in reversed(list(self.stages.items())) if s.loss is not None}

    def why_blocked(self) -> Counter[str]:
        """Reason → how many stages this version cannot start for it, whatever becomes of their inputs."""
        reasons = (why_blocked(stage.spec) for stage in self.stages.values() if stage.owed)
        return Counter(reason for reason in reasons if reason is not None)


def lay_out(
    sweep: str,
    runs: Sequence[PlannedRun],
    ledger: Ledger,
    *,
    tables: tuple[str, ...] = (),
    description: str = "",
    tracking: Mapping[str, Any] | None = None,
    launchers: Mapping[str, Any] | None = None,
    set_back: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of runs whose stages are known already (a frozen plan, read again).

    Args:
        sweep, runs, tables, description, tracking, launchers: of the plan.
        ledger: where the stages are.
        set_back: id → why, of stages that are going to be set back: the plan is as it will be then.

    Raises:
        LedgerError: the results root cannot be read.
    """
    specs: dict[str, StageSpec] = {}
    users: Counter[str] = Counter()
    for run in runs:
        for stage in run.stages:
            specs.setdefault(stage.id, stage)
            users[stage.id] += 1
    stages: dict[str, PlannedStage] = {}
    states, losses = look(specs, ledger, set_back)
    for stage_id, stage in specs.items():
        stages[stage_id] = _standing(
            stage, states.get(stage_id), losses.get(stage_id), stages, users[stage_id]
        )
    return Plan(sweep, tuple(runs), stages, tables, description, tracking or {}, launchers or {})


def _standing(
    stage: StageSpec,
    state: StageState | None,
    loss: Loss | None,
    planned: Mapping[str, PlannedStage],
    users: int,
) -> PlannedStage:
    shared = f"; shared by {users} runs" if users > 1 else ""

    def standing(status: str, reason: str, *, owed: bool = True) -> PlannedStage:
        return PlannedStage(stage, status, owed, reason + shared, state, loss)

    if state is not None and loss is not None and loss.owed:
        state = state.set_back(str(loss))
        return standing("pending", str(loss))
    if state is not None and state.status == "succeeded":
        return standing("succeeded", f"done; {loss}" if loss else "done", owed=False)
    if state is not None and state.active:
        return standing(state.status, f"attempt {state.attempt} is {state.status}")
    never = why_blocked(stage)
    if never is not None:
        return standing("blocked", never)
    inputs = [planned[i] for i in stage.inputs.values()]
    in_the_way = next((i for i in inputs if i.status in ("failed", "blocked")), None)
    if in_the_way is not None:
        return standing("blocked", f"its input {in_the_way.spec.id} {_fault(in_the_way)}")
    waiting = [i.spec.id for i in inputs if i.owed]
    if state is None or state.status == "pending":
        before = state.note if state is not None else ""
        return standing("pending", f"waits for {', '.join(waiting)}" if waiting else before or "never run")
    told = f"{state.failure.kind}: {state.failure.message}" if state.failure else "can go on"
    return standing(state.status, f"attempt {state.attempt} {state.status}, {told}")


def _fault(stage: PlannedStage) -> str:
    """Why a stage is in the way of those that read it."""
    failure = stage.state.failure if stage.state else None
    if stage.status == "failed" and failure is not None:
        return f"failed ({failure.kind}: {failure.message})"
    return f"is {stage.status}" if stage.status == "blocked" else "failed"
