"""What verl is asked: a set of options, of which the user's own can be left out one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolrl_cli.training.checking.composed import Kind, split_prefix


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
