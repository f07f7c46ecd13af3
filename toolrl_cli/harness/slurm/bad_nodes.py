"""Nodes on which attempts have failed for no fault of their own, so that later jobs can leave them out."""

from __future__ import annotations

import re

from toolrl_cli.harness.launcher import LaunchRequest
from toolrl_cli.store.failures import FailureClass
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.schemas import ENVIRONMENT

FAULTS: frozenset[FailureClass] = frozenset({"infra", "hang"})
"""Classes of failure that a node may be to blame for."""


class BadNodes:
    """Counts failures, from the attempts of stages that are submitted again, and jobs that ended well.

    A sound node meets a fault of the network now and then: over days all of them would be left out. So one is bad
    only while more has failed on it than has not.

    Args:
        most: failures of one node after which it may be left out.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._failures: dict[str, set[str]] = {}
        self._well: dict[str, set[str]] = {}

    def note(self, request: LaunchRequest) -> None:
        """Take in how earlier attempts of the stage ended, and where they ran.

        Raises:
            LedgerError: the file system does not give it.
        """
        if request.attempt == 1:
            return
        folder = StageFolder(request.stage_dir)
        for attempt in folder.state().attempts:
            if attempt.failure is None or attempt.failure.kind not in FAULTS:
                continue
            if node := _to_blame(folder, attempt.n, attempt.failure.message, request.spec.nodes):
                self._failures.setdefault(node, set()).add(f"{request.spec.id}/{attempt.n}")

    def well(self, node: str, job: str) -> None:
        """Take in that a job has ended well on a node; of one on several, `node` names none."""
        self._well.setdefault(node, set()).add(job)

    def excluded(self) -> tuple[str, ...]:
        """The nodes to leave out, by name."""
        return tuple(
            sorted(
                node
                for node, failed in self._failures.items()
                if len(failed) >= self._most and len(failed) > len(self._well.get(node, ()))
            )
        )


def _to_blame(folder: StageFolder, attempt: int, message: str, nodes: int) -> str:
    """The node that an attempt failed on; of several, the one that the failure names (`NodeLost`), or none."""
    if nodes > 1:
        named = re.match(r"node (\S+): ", message)
        return named[1] if named else ""
    environment = ENVIRONMENT.load(folder.attempt(attempt) / ENVIRONMENT.name) or {}
    return str((environment.get("environment") or {}).get("SLURMD_NODENAME") or "")
