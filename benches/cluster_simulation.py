"""A cluster that is played through: nodes with GPUs, a queue, failures, urgent jobs of others, and a clock of its own.

It knows nothing of toolrl. What a job does is a `Work`: how long it takes, what its checkpoints keep, and when it meets
a fault, which is drawn by its name and the number of its start, so that whoever plays the same work meets the same.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

HOUR, MINUTE = 3600.0, 60.0
INFINITE = float("inf")

Ending = Literal["completed", "failed", "limit", "preempted", "node"]


@dataclass(frozen=True)
class Faults:
    """What goes wrong, and how often; times in seconds.

    Attributes:
        node_mtbf, repair: a node's mean time between two crashes, and how long it is away then.
        bad: nodes that end what trains on them, each after `bad_after` on average, and that Slurm takes for sound.
        gpu_mtbf: mean GPU-time between two failures of network, disk or NCCL.
        urgent_every, urgent_nodes, urgent_for: whole nodes that others take, whatever runs there.
        limit: of a job's time.
        warned: seconds before its end, or its pre-emption, at which a job hears of it.
    """

    node_mtbf: float = 30 * 24 * HOUR
    repair: float = 4 * HOUR
    bad: int = 2
    bad_after: float = 0.5 * HOUR
    gpu_mtbf: float = 1000 * HOUR
    urgent_every: float = 2 * HOUR
    urgent_nodes: int = 4
    urgent_for: float = 3 * HOUR
    limit: float = 4 * HOUR
    warned: float = 120.0


@dataclass
class Work:
    """What a job has to do; lives as long as the stage, over all its jobs.

    Attributes:
        name: of the stage.
        gpus: of one node; 0 for none.
        need: seconds of useful work.
        start_up: seconds that every start costs.
        save: seconds of work between two checkpoints; infinite for none.
        saved: seconds of work that are kept.
        starts: how often it was started.
        useful, lost: GPU-seconds.
    """

    name: str
    gpus: int
    need: float
    start_up: float
    save: float
    saved: float = 0.0
    starts: int = 0
    useful: float = 0.0
    lost: float = 0.0

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self.saved >= self.need

    def ended(self, ran: float) -> None:
        """Take in how long a start has run: what was done since the last checkpoint is lost, unless all is done."""
        reached = self.saved + max(0.0, ran - self.start_up)
        kept = self.need if reached >= self.need - 1e-6 else self.saved
        if kept < self.need and self.save < INFINITE:
            kept = max(self.saved, self.save * int(reached / self.save))
        gained, self.saved = kept - self.saved, kept
        self.useful += gained * self.gpus
        self.lost += (ran - gained) * self.gpus


@dataclass
class Job:
    """A job in the queue.

    Attributes:
        work: what it does.
        over: told how it ended, when it has.
        begun: told when it starts, and where.
        excluded: nodes that it may not have.
        place: its turn.
        warned: whether it stops in good order at its limit (`Faults.warned`).
    """

    work: Work
    over: Callable[[Ending], None]
    begun: Callable[[str], None] = lambda node: None
    excluded: frozenset[str] = frozenset()
    place: int = 0
    warned: bool = False
    node: Node | None = None
    since: float = 0.0
    run: int = (
        0  # counts its starts, so that an end that was planned for an earlier one is not taken for this one's
    )


@dataclass
class Node:
    """A machine."""

    name: str
    gpus: int
    free: int
    bad: bool = False
    up: bool = True
    urgent: bool = False
    jobs: list[Job] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """Whether jobs may start here."""
        return self.up and not self.urgent


class Cluster:
    """Nodes and a queue: first come first served, later and smaller jobs fill the gaps but for the one node that the
    first job waits for.

    Args:
        nodes, gpus: how many, and how many each.
        faults: what goes wrong.
        seed: of the cluster's own faults.
    """

    def __init__(self, nodes: int, gpus: int, faults: Faults, seed: int = 1) -> None:
        self.now = 0.0
        self.faults = faults
        self.nodes = [Node(f"n{n:02}", gpus, gpus, bad=n < faults.bad) for n in range(nodes)]
        self.available = 0.0  # GPU-seconds of nodes that were up and not others'
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._turn = itertools.count()
        self._waiting: dict[tuple[int, frozenset[str]], list[tuple[int, int, Job]]] = {}
        self._counted = 0.0
        for node in self.nodes:
            self.after(self._random.expovariate(1 / faults.node_mtbf), lambda node=node: self._crash(node))  # type: ignore[misc]
        self.after(faults.urgent_every, self._take_urgently)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Have something happen."""
        heapq.heappush(self._events, (self.now + seconds, next(self._number), what))

    def submit(self, job: Job, *, again: bool = False) -> None:
        """Put a job into the queue; `again` keeps its turn."""
        if not again:
            job.place = next(self._turn)
        queue = self._waiting.setdefault((job.work.gpus, job.excluded), [])
        heapq.heappush(queue, (job.place, next(self._number), job))

    def excluded_anew(self, nodes: frozenset[str]) -> None:
        """Have no job that waits start on these nodes."""
        waiting = [job for queue in self._waiting.values() for *_, job in queue]
        self._waiting.clear()
        for job in waiting:
            job.excluded |= nodes
            self.submit(job, again=True)

    def advance(self, until: float) -> None:
        """Let time pass."""
        self._fill()
        while self._events and self._events[0][0] <= until:
            at, _, what = heapq.heappop(self._events)
            self._count(at)
            what()
            self._fill()
        self._count(until)

    def _count(self, now: float) -> None:
        gpus = sum(node.gpus for node in self.nodes if node.open)
        self.available += gpus * (now - self._counted)
        self._counted = self.now = now

    def _fill(self) -> None:
        """Start what can start."""
        kept: Node | None = None
        blocked: set[tuple[int, frozenset[str]]] = set()
        while True:
            heads = [(queue[0], key) for key, queue in self._waiting.items() if queue and key not in blocked]
            if not heads:
                return
            (_, _, job), key = min(heads, key=lambda head: head[0][:2])
            node = self._place_for(job, kept)
            if node is None:
                if kept is None and not blocked:
                    kept = max(
                        (
                            n
                            for n in self.nodes
                            if n.open and n.name not in job.excluded and n.gpus >= job.work.gpus
                        ),
                        key=lambda n: n.free,
                        default=None,
                    )
                blocked.add(key)
                continue
            heapq.heappop(self._waiting[key])
            self._start(job, node)

    def _place_for(self, job: Job, kept: Node | None) -> Node | None:
        """The node with the fewest GPUs left over."""
        fit = [
            node
            for node in self.nodes
            if node.open and node.free >= job.work.gpus and node.name not in job.excluded and node is not kept
        ]
        return min(fit, key=lambda node: node.free, default=None)

    def _start(self, job: Job, node: Node) -> None:
        work = job.work
        work.starts += 1
        job.node, job.since, job.run = node, self.now, job.run + 1
        node.free -= work.gpus
        node.jobs.append(job)
        job.begun(node.name)
        takes = work.start_up + work.need - work.saved
        limit = self.faults.limit - (self.faults.warned if job.warned else 0.0)
        fault = self._fault(work, node)
        seconds, ending = min((takes, "completed"), (limit, "limit"), (fault, "failed"))
        run = job.run

        def end() -> None:
            if job.node is node and job.run == run:
                self._end(job, ending)  # type: ignore[arg-type]

        self.after(seconds, end)

    def _fault(self, work: Work, node: Node) -> float:
        """Seconds to the fault that this start meets; beyond its end for most."""
        drawn = random.Random(f"{work.name}/{work.starts}")
        rate = work.gpus / self.faults.gpu_mtbf
        some = drawn.expovariate(rate) if rate else INFINITE
        here = drawn.expovariate(1 / self.faults.bad_after)
        return min(some, here) if node.bad and work.gpus else some

    def _end(self, job: Job, ending: Ending) -> None:
        assert job.node is not None
        job.node.free += job.work.gpus
        job.node.jobs.remove(job)
        job.node = None
        job.work.ended(self.now - job.since)
        job.over(ending)

    def _crash(self, node: Node) -> None:
        node.up = False
        self._empty(node, "node")
        self.after(self.faults.repair, lambda: setattr(node, "up", True))
        again = self.faults.repair + self._random.expovariate(1 / self.faults.node_mtbf)
        self.after(again, lambda: self._crash(node))

    def _take_urgently(self) -> None:
        open_nodes = [node for node in self.nodes if node.open]
        for node in self._random.sample(open_nodes, min(self.faults.urgent_nodes, len(open_nodes))):
            node.urgent = True
            self._empty(node, "preempted")
            self.after(self.faults.urgent_for, lambda node=node: setattr(node, "urgent", False))  # type: ignore[misc]
        self.after(self._random.expovariate(1 / self.faults.urgent_every), self._take_urgently)

    def _empty(self, node: Node, ending: Ending) -> None:
        for job in list(node.jobs):
            self._end(job, ending)


def works(stages: int, seed: int = 1) -> Iterator[tuple[Work, Work, Work, Work]]:
    """Runs of four stages: RL, the export of its model, and two evaluations of that; half of RL on 2 GPUs, the rest on
    4 and on a whole node, for 3, 5 and 8 hours on average."""
    drawn = random.Random(seed)
    for run in range(stages // 4):
        gpus, hours = drawn.choices(((2, 3.0), (4, 5.0), (8, 8.0)), (50, 35, 15))[0]
        need = drawn.lognormvariate(0.0, 0.3) * hours * HOUR
        yield (
            Work(f"rl{run}", gpus, need, 5 * MINUTE, 30 * MINUTE),
            Work(f"export{run}", 0, 5 * MINUTE, MINUTE, INFINITE),
            Work(f"eval{run}a", 1, 20 * MINUTE, 2 * MINUTE, INFINITE),
            Work(f"eval{run}b", 1, 20 * MINUTE, 2 * MINUTE, INFINITE),
        )
