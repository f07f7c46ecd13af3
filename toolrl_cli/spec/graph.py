"""Stages as a graph: who reads whom, in what order, and what depends on what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.stage import StageSpec


class StageGraph(Mapping[str, StageSpec]):
    """Stages by id, inputs before what reads them and otherwise as given.

    Inputs that are not among the stages are no part of the graph.

    Args:
        stages: the stages, in any order; one that comes twice counts once.

    Raises:
        SpecError: the stages depend on each other in a circle.
    """

    def __init__(self, stages: Iterable[StageSpec]) -> None:
        given = {stage.id: stage for stage in stages}
        self._inputs = {
            i: [x for x in dict.fromkeys(s.inputs.values()) if x in given] for i, s in given.items()
        }
        self._readers: dict[str, list[str]] = {stage_id: [] for stage_id in given}
        for stage_id, inputs in self._inputs.items():
            for read in inputs:
                self._readers[read].append(stage_id)
        # all stages first, so that their order is the given one wherever the inputs leave it open
        sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(given, ()))
        for stage_id, inputs in self._inputs.items():
            sorter.add(stage_id, *inputs)
        try:
            self._stages = {stage_id: given[stage_id] for stage_id in sorter.static_order()}
        except CycleError as error:
            circle = ", ".join(sorted(set(error.args[1])))
            raise SpecError(f"stages depend on each other in a circle: {circle}") from None

    def __getitem__(self, stage_id: str) -> StageSpec:
        return self._stages[stage_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stages)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._stages)

    def __len__(self) -> int:
        return len(self._stages)

    def inputs(self, stage_id: str) -> list[str]:
        """What a stage reads."""
        return self._inputs[stage_id]

    def readers(self, stage_id: str) -> list[str]:
        """What reads a stage."""
        return self._readers[stage_id]

    def with_inputs(self, ids: Iterable[str]) -> set[str]:
        """These stages and all that they need, directly or not."""
        return _closure(ids, self._inputs)

    def with_readers(self, ids: Iterable[str]) -> set[str]:
        """These stages and all that depend on them, directly or not."""
        return _closure(ids, self._readers)


def _closure(ids: Iterable[str], edges: Mapping[str, list[str]]) -> set[str]:
    found: set[str] = set()
    left = list(ids)
    while left:
        stage_id = left.pop()
        if stage_id not in found:
            found.add(stage_id)
            left += edges[stage_id]
    return found
