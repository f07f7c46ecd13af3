"""What a training warns of while it runs: kept in `state.json`, and read back by whoever shows the stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StepWarning:
    """One sign that steps of a training teach nothing, however many steps show it.

    Attributes:
        name: of the sign: `no_gradient`, `every_response_cut`, `no_tokens`.
        what: what is seen, in one clause.
        hint: what to do about it.
        first, last: the first and the last step that show it.
        steps: how many do.
        of: steps trained so far.
    """

    name: str
    what: str
    hint: str
    first: int
    last: int
    steps: int
    of: int

    @property
    def lasting(self) -> bool:
        """Whether every step so far shows it."""
        return self.steps == self.of

    @property
    def short(self) -> str:
        """`no gradient in 3 of 10 steps`."""
        return f"{self.name.replace('_', ' ')} in {self.steps} of {self.of} step{'s' if self.of > 1 else ''}"

    def __str__(self) -> str:
        if self.steps == 1:
            when = f"step {self.first}"
        elif self.lasting:
            when = f"all {self.steps} steps so far"
        else:
            when = f"{self.steps} of {self.of} steps ({self.first} first, {self.last} last)"
        return f"{when}: {self.what} ({self.hint})"

    def to_json(self) -> dict[str, Any]:
        """As in `state.json`."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StepWarning:
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        first, last, steps, of = (int(data[key]) for key in ("first", "last", "steps", "of"))
        return cls(str(data["name"]), str(data["what"]), str(data["hint"]), first, last, steps, of)


def counted(
    before: Sequence[StepWarning], step: int, of: int, signs: Mapping[str, tuple[str, str]]
) -> tuple[StepWarning, ...]:
    """The warnings after one more step.

    Args:
        before: those of the steps before it.
        step: its number.
        of: steps trained so far, it included.
        signs: what it shows: name → what and hint.
    """
    known = {warning.name: warning for warning in before}
    for name, (what, hint) in signs.items():
        old = known.get(name) or StepWarning(name, what, hint, step, step, 0, of)
        known[name] = StepWarning(name, what, hint, old.first, step, old.steps + 1, of)
    return tuple(StepWarning(**{**vars(warning), "of": of}) for warning in known.values())
