"""Failures with one root cause, told from those that only share a class."""

from __future__ import annotations

import re

from toolrl_cli.store.failures import Failure

_VARIABLE = re.compile(r"0x[0-9a-f]+|\d+|/\S+")  # what differs between two reports of the same fault


class AlikeFailures:
    """Which stages have failed for the same reason, within one command."""

    def __init__(self) -> None:
        self._stages: dict[str, set[str]] = {}

    def note(self, stage: str, failure: Failure) -> int:
        """Take note of a failure.

        Returns:
            How many stages have failed so by now, this one among them.
        """
        signature = f"{failure.kind}: {_VARIABLE.sub('#', failure.message)}"
        alike = self._stages.setdefault(signature, set())
        alike.add(stage)
        return len(alike)
