"""In what order owed stages start, so that the last one ends early: longest expected chain first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toolrl_cli.spec.graph import StageGraph
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import kind_of


def expected_seconds(spec: StageSpec) -> float:
    """How long a stage may take, for want of anything measured."""
    return kind_of(spec).expected_seconds(spec.total_steps)


def chain_lengths(
    stages: Sequence[StageSpec], seconds: Callable[[StageSpec], float] = expected_seconds
) -> dict[str, float]:
    """Stage id → expected seconds from its start to the end of the longest chain of stages it begins.

    Starting the longest chain first is the critical-path rule of list scheduling; with independent chains on
    equal slots it ends within 4/3 of the best possible time (Graham 1969).

    Raises:
        SpecError: the stages depend on each other in a circle.
    """
    graph = StageGraph(stages)
    lengths: dict[str, float] = {}
    for stage_id in reversed(graph):
        after = max((lengths[reader] for reader in graph.readers(stage_id)), default=0.0)
        lengths[stage_id] = seconds(graph[stage_id]) + after
    return lengths


def priorities(stages: Sequence[StageSpec]) -> dict[str, int]:
    """Stage id → priority: that of the most urgent run among those that need the stage.

    A run's `resources.priority` stands in the configuration of its stages; one that has none (`export`), or
    that runs share, counts as what reads it.

    Raises:
        SpecError: the stages depend on each other in a circle.
    """
    graph = StageGraph(stages)
    urgency: dict[str, int] = {}
    own = {stage_id: spec.resources.get("priority") for stage_id, spec in graph.items()}
    for stage_id in reversed(graph):
        after = [urgency[reader] for reader in graph.readers(stage_id)]
        if not after and own[stage_id] is None:  # the end of a run that has no evaluation
            after = [p for i in graph.inputs(stage_id) if (p := own[i]) is not None]
        urgency[stage_id] = max(after, default=own[stage_id] or 0)
    return urgency
