"""What a sweep needs: its stages as one graph, with what is done, owed, running and blocked, and why."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolrl_cli.engine.aftermath import observed
from toolrl_cli.engine.ledger import Ledger
from toolrl_cli.engine.state import StageState
from toolrl_cli.errors import SpecError
from toolrl_cli.spec.resolve import Run
from toolrl_cli.spec.stage import SCHEMA, StageSpec
from toolrl_cli.spec.stages import Facts, run_stages
from toolrl_cli.spec.suggest import hint_for


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class PlannedStage:
    """One stage with its standing.

    Attributes:
        status: a status word of the ledger; `pending` where nothing was ever started.
        owed: it still has to run.
        reason: why it will or will not run, in one clause.
    """

    spec: StageSpec
    status: str
    owed: bool
    reason: str


@dataclass(frozen=True)
class Plan:
    """A sweep's runs and stages; inputs come before what reads them.

    Attributes:
        runs: the runs, in the order of the sweep file.
        stages: id → stage; equal stages are one.
        tables: names of the tables that the sweep asks for.
    """

    sweep: str
    runs: tuple[PlannedRun, ...]
    stages: Mapping[str, PlannedStage]
    tables: tuple[str, ...] = ()
    description: str = ""

    def selected(self, pattern: str | None) -> Plan:
        """The runs whose id or arm matches a shell pattern, with their stages; all for None.

        Raises:
            SpecError: nothing matches.
        """
        if pattern is None:
            return self
        runs = tuple(
            r for r in self.runs if fnmatch.fnmatch(r.id, pattern) or fnmatch.fnmatch(r.arm, pattern)
        )
        if not runs:
            arms = {r.arm for r in self.runs}
            raise SpecError(f"no run matches {pattern!r}", "--only", hint_for(pattern, arms, "arms"))
        wanted = {stage.id for run in runs for stage in run.stages}
        stages = {i: s for i, s in self.stages.items() if i in wanted}
        return Plan(self.sweep, runs, stages, self.tables, self.description)

    @property
    def owed(self) -> list[StageSpec]:
        """The stages that still have to run, inputs first."""
        return [s.spec for s in self.stages.values() if s.owed]

    def to_json(self) -> dict[str, Any]:
        """The document of `plan --json`."""
        return {
            "schema": SCHEMA,
            "sweep": self.sweep,
            "runs": [
                {"id": r.id, "arm": r.arm, "seed": r.seed, "stages": [s.id for s in r.stages]}
                for r in self.runs
            ],
            "stages": [
                {
                    "id": s.spec.id,
                    "kind": s.spec.kind,
                    "status": s.status,
                    "owed": s.owed,
                    "reason": s.reason,
                    "inputs": dict(s.spec.inputs),
                }
                for s in self.stages.values()
            ],
        }

    def frozen(self) -> dict[str, Any]:
        """The content of `sweeps/<name>/plan.json`: what the sweep is, without its standing."""
        return {
            "schema": SCHEMA,
            "sweep": self.sweep,
            "description": self.description,
            "tables": list(self.tables),
            "runs": [
                {
                    "id": r.id,
                    "arm": r.arm,
                    "seed": r.seed,
                    "settings": dict(r.settings),
                    "stages": [s.id for s in r.stages],
                }
                for r in self.runs
            ],
            "stages": [s.spec.to_json() for s in self.stages.values()],
        }


def make_plan(
    sweep: str,
    runs: Sequence[Run],
    facts: Facts,
    ledger: Ledger,
    *,
    tables: tuple[str, ...] = (),
    description: str = "",
) -> Plan:
    """Lay the runs' stages out as one graph and look up where each stands.

    Raises:
        SpecError: a run has no stage, or a fingerprint cannot be taken.
        LedgerError: the results root cannot be read.
    """
    planned = []
    for run in runs:
        chain = run_stages(run.spec, facts)
        if not chain:
            raise SpecError(
                f"run {run.id!r} has nothing to do", sweep, "give it `evaluate:` or a non-empty `train:`"
            )
        planned.append(PlannedRun(sweep, run.id, run.arm, run.seed, run.settings, tuple(chain)))
    return lay_out(sweep, planned, ledger, tables=tables, description=description)


def lay_out(
    sweep: str,
    runs: Sequence[PlannedRun],
    ledger: Ledger,
    *,
    tables: tuple[str, ...] = (),
    description: str = "",
) -> Plan:
    """The plan of runs whose stages are known already (a frozen plan, read again).

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
    for stage in specs.values():
        stages[stage.id] = _standing(stage, observed(ledger.folder(stage)), stages, users[stage.id])
    return Plan(sweep, tuple(runs), stages, tables, description)


def _standing(
    stage: StageSpec, state: StageState, planned: Mapping[str, PlannedStage], users: int
) -> PlannedStage:
    shared = f"; shared by {users} runs" if users > 1 else ""
    if state.status == "succeeded":
        return PlannedStage(stage, "succeeded", False, f"done{shared}")
    if state.active:
        return PlannedStage(stage, state.status, True, f"attempt {state.attempt} is {state.status}{shared}")
    waiting = [i for i in stage.inputs.values() if planned[i].owed]
    if state.status == "pending":
        reason = f"waits for {', '.join(waiting)}" if waiting else "never run"
        return PlannedStage(stage, "pending", True, reason + shared)
    told = f"{state.failure.kind}: {state.failure.message}" if state.failure else "can go on"
    return PlannedStage(stage, state.status, True, f"attempt {state.attempt} {state.status}, {told}{shared}")
