"""What verl is asked, and how: sets of options, of which the user's own can be left out one by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import toolrl_cli
from toolrl_cli.errors import SpecError
from toolrl_cli.training.checking.composed import Kind, split_prefix
from toolrl_cli.training.checking.option_fault import OptionFault

TIMEOUT = 600
"""Seconds for the child; importing verl from a cold network disk takes minutes at worst."""

ASK = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; "
    "from toolrl_cli.training.checking.verl_verdict import main; main()"
)
"""The child's program. The working folder is not on its path: it may hold another verl."""


@dataclass(frozen=True)
class Question:
    """A set of options.

    Attributes:
        kind: of the stage.
        ours: the options that toolrl makes of the settings.
        given: the user's own, which are laid over them.
    """

    kind: Kind
    ours: dict[str, Any]
    given: dict[str, Any]

    @property
    def options(self) -> dict[str, Any]:
        """All of them, as verl would get them."""
        return self.ours | self.given


def given_key(option: str, given: Mapping[str, Any], what: str = "") -> str | None:
    """The user's key that an option, or the one option below a section, comes from.

    Args:
        option: as a fault names it.
        given: the user's options.
        what: the fault, which may name one of several options below a section.
    """
    name = split_prefix(option)[1]
    for key in given:
        if option and (key == option or split_prefix(key)[1] == name):
            return key
    below = [key for key in given if name and split_prefix(key)[1].startswith(f"{name}.")]
    named = [key for key in below if key.rpartition(".")[2] in what.replace(":", " ").split()]
    return next((keys[0] for keys in (named, below) if len(keys) == 1), None)


def ask_verl(questions: list[Question]) -> list[list[OptionFault]]:
    """The second tier: verl's own verdict on each set of options, from one child process.

    Returns:
        For each question, what verl would refuse.

    Raises:
        SpecError: the child failed.
    """
    text = json.dumps([asdict(question) for question in questions])
    package = str(Path(toolrl_cli.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))}
    try:
        child = subprocess.run(
            [sys.executable, "-c", ASK],
            input=text,
            env=env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SpecError(
            f"verl did not answer within {TIMEOUT} s", "checking options", "see `toolrl doctor`"
        ) from None
    if child.returncode:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise SpecError(f"verl gave no answer: {last}", "checking options", "see `toolrl doctor`")
    return [[OptionFault(**fault) for fault in answer] for answer in json.loads(child.stdout)]
