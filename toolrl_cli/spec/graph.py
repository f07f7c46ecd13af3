"""Stages as a graph: who reads whom, in what order, and what depends on what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.stage import StageSpec


def dependents(stages: Iterable[StageSpec]) -> dict[str, list[str]]:
    """Stage id → ids of the stages that read its output."""
    users: defaultdict[str, list[str]] = defaultdict(list)
    for spec in stages:
        for stage_id in dict.fromkeys(spec.inputs.values()):
            users[stage_id].append(spec.id)
    return dict(users)


def in_order(stages: Sequence[StageSpec]) -> list[StageSpec]:
    """The stages with inputs before what reads them, otherwise as given.

    Raises:
        SpecError: the stages depend on each other in a circle.
    """
    by_id = {spec.id: spec for spec in stages}
    users = dependents(by_id.values())
    missing = {spec.id: sum(i in by_id for i in set(spec.inputs.values())) for spec in by_id.values()}
    ready = [stage_id for stage_id, count in missing.items() if count == 0]
    ordered: list[StageSpec] = []
    for stage_id in ready:
        ordered.append(by_id[stage_id])
        for user in users.get(stage_id, ()):
            missing[user] -= 1
            if missing[user] == 0:
                ready.append(user)
    if len(ordered) < len(by_id):
        circle = sorted(set(by_id) - {spec.id for spec in ordered})
        raise SpecError(f"stages depend on each other in a circle: {', '.join(circle)}")
    return ordered
