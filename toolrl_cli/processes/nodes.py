"""What a launcher says of an attempt's machines: how many there are, and how a program is run on the others."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from toolrl_cli.errors import StageError

VARIABLE = "TOOLRL_NODES"
"""In the environment of an attempt that was given several machines."""


@dataclass(frozen=True)
class Nodes:
    """The machines of an attempt, of which this is the first.

    Attributes:
        count: how many there are.
        run: a command that runs its further arguments once on each of the others, in this process's environment and
            folder and with its standard output and error. It ends when all of them have ended, or as soon as one has
            failed, with a status other than 0 then; and they end when it is ended.
    """

    count: int = 1
    run: tuple[str, ...] = ()

    @classmethod
    def given(cls, environment: Mapping[str, str] = os.environ) -> Nodes:
        """Those of this process's attempt; this machine alone where nothing is said."""
        told = environment.get(VARIABLE)
        if not told:
            return cls()
        found = json.loads(told)
        return cls(int(found["count"]), tuple(found["run"]))

    def variable(self) -> dict[str, str]:
        """What `given` reads."""
        return {VARIABLE: json.dumps({"count": self.count, "run": self.run})}


class NodeLost(StageError):
    """The part of an attempt on another node was killed, or the node does not answer any more."""

    def __init__(self, node: str) -> None:
        super().__init__(
            "its part of the training is gone without a word", f"node {node}", failure_class="infra"
        )
