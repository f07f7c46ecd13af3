"""One finding of `toolrl doctor`, and how other programs are asked."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Standing = Literal["ok", "warning", "error"]
PATIENCE = 20.0  # seconds for a program to answer


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        standing: `error`: runs will fail; `warning`: some runs will, or something is unknown.
        found: what is there.
        fix: the command or change that mends it; empty where nothing is wrong.
    """

    name: str
    standing: Standing
    found: str
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """Stable keys for `doctor --json`."""
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """What a program said; `fault` is why it did not."""

    out: str = ""
    fault: str = ""


def ask(argv: Sequence[str]) -> Answer:
    """Run a program that only looks."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return Answer(fault=f"does not answer within {PATIENCE:.0f} s")
    except OSError as error:
        return Answer(fault=error.strerror or str(error))
    if done.returncode:
        told = (done.stderr or done.stdout).strip().splitlines()
        return Answer(fault=told[0] if told else f"ended with status {done.returncode}")
    return Answer(out=done.stdout)
