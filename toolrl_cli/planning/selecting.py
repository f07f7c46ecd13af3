"""Which stages of a plan a command means: by kind or id, or those that failed, with what they need."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, replace

from toolrl_cli.errors import SpecError
from toolrl_cli.planning.plan import Plan
from toolrl_cli.spec.graph import StageGraph
from toolrl_cli.spec.stage_kind import kinds_in_order
from toolrl_cli.spec.suggest import hint_for, nearest


@dataclass(frozen=True)
class Selection:
    """Part of a plan.

    Attributes:
        targets: ids of the stages that are meant, inputs first.
        plan: these and what has to run with them.
    """

    targets: tuple[str, ...]
    plan: Plan


def select(plan: Plan, *, stage: str | None = None, failed: bool = False) -> Selection:
    """The part of a plan that is meant.

    Args:
        plan: what to choose from.
        stage: a kind, or an id or shell pattern of ids: these stages, and what they need; None for all.
        failed: of them only those whose last attempt failed. Without `stage` also what depends on them.

    Raises:
        SpecError: no stage matches.
    """
    targets = list(plan.stages)
    if stage is not None:
        targets = [i for i, s in plan.stages.items() if s.spec.kind == stage or fnmatch.fnmatch(i, stage)]
        if not targets:
            kinds = kinds_in_order()
            close = nearest(stage, [*kinds, *plan.stages])
            hint = f"did you mean {close!r}?" if close else hint_for(stage, kinds, "kinds")
            raise SpecError(f"no stage matches {stage!r}", "--stage", hint)
    if failed:
        targets = [i for i in targets if plan.stages[i].status == "failed"]
    wanted, graph = set(targets), StageGraph(stage.spec for stage in plan.stages.values())
    if stage is not None or failed:
        wanted = graph.with_inputs(targets)
    if failed and stage is None:
        wanted |= graph.with_readers(targets)
    return Selection(tuple(targets), part(plan, wanted))


def part(plan: Plan, wanted: Iterable[str]) -> Plan:
    """The plan with these stages alone; runs without any of them are left out."""
    ids = set(wanted)
    stages = {i: s for i, s in plan.stages.items() if i in ids}
    runs = tuple(run for run in plan.runs if any(stage.id in ids for stage in run.stages))
    return replace(plan, runs=runs, stages=stages)


def shared_with_others(plan: Plan, chosen: Plan) -> set[str]:
    """Ids of the stages of `chosen` that a run outside of it has, too."""
    inside = {run.id for run in chosen.runs}
    return {stage.id for run in plan.runs if run.id not in inside for stage in run.stages} & set(
        chosen.stages
    )
