"""What runs beside a trainer on several nodes, and why a trainer is ended when one of it has ended."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from toolrl_cli.errors import StageError
from toolrl_cli.log import LOG
from toolrl_cli.processes.child import ChildFailed, ChildStopped, end_child, run_child, start_child
from toolrl_cli.processes.nodes import NodeLost, Nodes
from toolrl_cli.training.nodes.lifeline import ADDRESS, Lifeline

JOINING = 600.0
"""Seconds for the other nodes to begin: containers are fetched and files are read over the network first."""

ENDING = 20.0
"""Seconds for the parts to end once they may."""

LAST_WORD = 5.0
"""Seconds for Slurm to write into the attempt's log how a part ended whose connection has broken."""


class Parts:
    """Programs beside a trainer; use it in a `with` block, from the main thread.

    Args:
        nodes: the attempt's.
        stop_requested: whether the attempt was asked to stop.
        cwd: folder of all programs.
    """

    def __init__(self, nodes: Nodes, stop_requested: Callable[[], bool], cwd: Path) -> None:
        self.nodes = nodes
        self.cwd = cwd
        self._stop_requested = stop_requested
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.lifeline = Lifeline()

    def start_here(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a program on this node; `name` is what people call it."""
        self._running[name] = start_child(argv, env=env, cwd=self.cwd)

    def start_there(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a program on each of the other nodes, and wait until all of them have begun.

        Raises:
            StageError: they have not; or as `run`.
        """
        part = [sys.executable, "-m", "toolrl_cli.training.nodes.part"]
        environment = {**env, ADDRESS: self.lifeline.address}
        self.start_here("the part on the other nodes", [*self.nodes.run, *part, *argv], environment)
        others = self.nodes.count - 1
        self.until(
            lambda: len(self.lifeline.names) == others, JOINING, f"{others} other nodes have not begun"
        )
        LOG.info("runs on this node and on %s", ", ".join(self.lifeline.names))

    def until(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
        """Wait for something that the parts do.

        Raises:
            StageError: it did not happen in time; or as `run`.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if self._stop_requested():
                raise ChildStopped("the trainer")
            if self.broken:
                raise self._failure()
            if time.monotonic() > deadline:
                raise StageError(f"{otherwise} within {seconds:.0f} s", failure_class="infra")
            time.sleep(0.05)

    def run(self, argv: Sequence[str], env: Mapping[str, str], name: str) -> None:
        """Run the trainer to its end; it is ended when a part has.

        Raises:
            NodeLost: a part was killed, or its node does not answer.
            ChildFailed: the trainer failed, or a part did.
            ChildStopped: the attempt was asked to stop.
        """
        try:
            run_child(argv, env=env, cwd=self.cwd, stop_requested=self._over, name=name)
        except (ChildStopped, ChildFailed):
            # whichever of them fell first, a node that is gone says more than who waited for it
            if self._stop_requested() or not self.broken:
                raise
            raise self._failure() from None

    def finish(self) -> None:
        """Wait for parts that end by themselves when the trainer has.

        Raises:
            StageError: they do not; or as `run`.
        """
        self.until(
            lambda: all(p.poll() == 0 for p in self._running.values()), JOINING, "other nodes do not end"
        )

    @property
    def broken(self) -> bool:
        """Whether a part has failed, or a node does not answer."""
        statuses = [process.poll() or 0 for process in self._running.values()]
        return any(status != 0 for status in (*statuses, *(s for _, s in self.lifeline.ended)))

    def _over(self) -> bool:
        return self._stop_requested() or self.broken

    def _failure(self) -> StageError:
        """Why `broken`."""
        deadline = time.monotonic() + LAST_WORD
        while time.monotonic() < deadline and not any(s for _, s in self.lifeline.ended):
            if any(process.poll() for process in self._running.values()):
                break
            time.sleep(0.05)
        for node, status in self.lifeline.ended:
            if status is None:
                return NodeLost(node)
            if status:
                return ChildFailed(f"the part on node {node}", status)
        name, process = next((n, p) for n, p in self._running.items() if p.poll())
        return ChildFailed(name, process.returncode)

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self.lifeline.close()
        for process in reversed(self._running.values()):
            end_child(process, ENDING)
