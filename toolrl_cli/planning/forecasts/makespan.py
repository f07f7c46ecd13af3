"""When a graph of stages would end on a machine's slots: the scheduler's rule, played through without running."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence

from toolrl_cli.harness.scheduling.queueing import OVERTAKEN
from toolrl_cli.spec.graph import StageGraph
from toolrl_cli.spec.stage import StageSpec


class Rehearsal:
    """A graph of stages on a number of slots, to be played through with different durations.

    Args:
        stages: what is owed, in any order; inputs that are not among them are done.
        slots: slots of the machine. A stage that needs more is played as if it needed all.
        most: most stages at a time.

    Raises:
        SpecError: the stages depend on each other in a circle.
    """

    def __init__(self, stages: Sequence[StageSpec], slots: int, most: int) -> None:
        graph = StageGraph(stages)
        self._ids = list(graph)
        number = {stage_id: n for n, stage_id in enumerate(self._ids)}
        self._widths = [min(spec.slots, slots) for spec in graph.values()]
        self._inputs = [[number[i] for i in graph.inputs(stage_id)] for stage_id in graph]
        self._users = [[number[i] for i in graph.readers(stage_id)] for stage_id in graph]
        self._slots, self._most = slots, most

    def makespan(self, seconds: Mapping[str, float]) -> float:
        """Seconds until the last stage ends, when the longest chain always starts first.

        Args:
            seconds: stage id → how long it takes; 0 for those that are not in it.
        """
        spans = [seconds.get(stage_id, 0.0) for stage_id in self._ids]
        rank = spans[:]
        for n in range(len(spans) - 1, -1, -1):
            rank[n] += max((rank[user] for user in self._users[n]), default=0.0)
        # one queue for each width, so that a stage which does not fit is not looked at again and again
        queues: dict[int, list[tuple[float, int]]] = {width: [] for width in set(self._widths)}
        missing = [len(inputs) for inputs in self._inputs]
        for n, count in enumerate(missing):
            if count == 0:
                heapq.heappush(queues[self._widths[n]], (-rank[n], n))
        running: list[tuple[float, int]] = []
        overtaken: Counter[int] = Counter()
        free, now = self._slots, 0.0
        while True:
            while len(running) < self._most:
                fitting = [queue for width, queue in queues.items() if queue and width <= free]
                if not fitting:
                    break
                best = min(fitting, key=lambda queue: queue[0])
                passed = [q[0][1] for width, q in queues.items() if width > free and q and q[0] < best[0]]
                if any(overtaken[wide] >= OVERTAKEN for wide in passed):
                    break  # slots are kept for it, as the scheduler does
                for wide in passed:
                    overtaken[wide] += 1
                _, n = heapq.heappop(best)
                free -= self._widths[n]
                heapq.heappush(running, (now + spans[n], n))
            if not running:
                return now
            now, n = heapq.heappop(running)
            free += self._widths[n]
            for user in self._users[n]:
                missing[user] -= 1
                if missing[user] == 0:
                    heapq.heappush(queues[self._widths[user]], (-rank[user], user))
