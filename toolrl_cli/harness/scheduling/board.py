"""Where every stage of a command stands, and which are ready; whoever watches is told of what changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from toolrl_cli.harness.scheduling.events import End, Event, Observer, What
from toolrl_cli.harness.scheduling.nodes import Node
from toolrl_cli.harness.scheduling.priorities import chain_lengths, priorities
from toolrl_cli.harness.scheduling.queueing import ReadyQueue
from toolrl_cli.spec.graph import StageGraph
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import StageState


class Board:
    """The stages of one command.

    Args:
        stages: the stages, in any order.
        ledger: where they are.
        observe: told of everything that happens.
        seconds: how long a stage may take.
        clock: what pauses are measured with, seconds.

    Attributes:
        nodes: stage id → where it stands.
        ready: those that could start.

    Raises:
        SpecError: the stages depend on each other in a circle.
    """

    def __init__(
        self,
        stages: Sequence[StageSpec],
        ledger: Ledger,
        observe: Observer,
        seconds: Callable[[StageSpec], float],
        clock: Callable[[], float],
    ) -> None:
        self._ledger, self._observe, self._clock = ledger, observe, clock
        lengths, urgency = chain_lengths(stages, seconds), priorities(stages)
        self.nodes = {
            spec.id: Node(
                spec,
                ledger.folder(spec),
                (-urgency[spec.id], -lengths[spec.id], n),
                set(spec.inputs.values()),
            )
            for n, spec in enumerate(stages)
        }
        self._graph = StageGraph(stages)
        self.ready = ReadyQueue()
        self._waited_for = ""

    def ends(self) -> dict[str, End]:
        """How each stage stands when the command is over."""
        return {stage_id: node.end or "pending" for stage_id, node in self.nodes.items()}

    def has_succeeded(self, stage_id: str) -> bool:
        """Whether a stage has, on this board or before."""
        if stage_id in self.nodes:
            return self.nodes[stage_id].end == "succeeded"
        folder = self._ledger.find(stage_id)
        return folder is not None and folder.state().status == "succeeded"

    def push(self, node: Node, seconds: float = 0.0) -> None:
        """A stage could start, after so many seconds."""
        self.ready.push(node.spec.id, node.rank, self._clock() + seconds if seconds else 0.0)

    def succeed(self, node: Node, state: StageState) -> None:
        """A stage has succeeded, so others may be ready."""
        node.end = "succeeded"
        self.tell("succeeded", node, state)
        for user in (self.nodes[stage_id] for stage_id in self._graph.readers(node.spec.id)):
            user.owed_inputs.discard(node.spec.id)
            if not user.owed_inputs and user.end is None:
                self.push(user)

    def give_up(self, node: Node, end: Literal["failed", "held"], how: str) -> None:
        """A stage will not succeed in this command; nor will what needs it."""
        node.end = end
        self._block_users(node, how)

    def block(self, node: Node, why: str) -> None:
        """A stage cannot run, nor can what needs it."""
        if node.end is None:
            node.end = "blocked"
            self.tell("blocked", node, None, why)
            self._block_users(node, "is blocked")

    def _block_users(self, node: Node, how: str) -> None:
        for stage_id in self._graph.readers(node.spec.id):
            self.block(self.nodes[stage_id], f"its input {node.spec.id} {how}")

    def tell(self, what: What, node: Node, state: StageState | None, message: str = "") -> None:
        """Something happened to a stage; None: its state is as it was told last."""
        node.shown = state or node.shown
        self._observe(Event(what, node.spec.id, state, message))

    def tell_all(self, what: What, message: str) -> None:
        """Something happened that is about no one stage."""
        self._observe(Event(what, message=message))

    def tell_once(self, waited_for: str) -> None:
        """What is waited for, where that is another thing than before; empty for nothing."""
        if waited_for and waited_for != self._waited_for:
            self.tell_all("waiting", waited_for)
        self._waited_for = waited_for
