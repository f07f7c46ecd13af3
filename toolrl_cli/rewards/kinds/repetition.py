"""`repetition`: a penalty for saying the same again, by the share of repeated word n-grams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Component, Range, Term
from toolrl_cli.rewards.errors import RewardError, shown
from toolrl_cli.rewards.reading import Reading


@dataclass(frozen=True)
class Repetition(Component):
    """From the high end (every run of `n` words is new) towards the low end: 1 - different runs / all runs.

    As in ms-swift and TRL (after "Demystifying Long CoT", arXiv 2502.03373), on words of the whole turn, in lower case.
    """

    range: Range | None = (-1.0, 0.0)
    n: int = 3

    kind: ClassVar[str] = "repetition"

    @property
    def judges(self) -> bool:
        return False

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        return high + (low - high) * self.share(reading)

    def share(self, reading: Reading) -> float:
        """Of repeated runs; 0 for a turn of fewer than `n` words."""
        words = reading.turn.lower().split()
        runs = [tuple(words[at : at + self.n]) for at in range(len(words) - self.n + 1)]
        return 1 - len(set(runs)) / len(runs) if runs else 0.0

    def terms(self, reading: Reading, low: float, high: float, raw: float) -> tuple[Term, ...]:
        rule = f"{high:g} + {low - high:g} · share"
        return (
            Term("share", f"of runs of {self.n} words that were there before", self.share(reading)),
            Term("raw", rule, raw),
        )

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "n": self.n}


def read(name: str, raw: Mapping[str, Any], where: str, base: Path) -> Component:
    """See `ComponentKind.read`."""
    n = raw.get("n", 3)
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise RewardError(f"{shown(n)} is no number of words", f"{where}.n", "1 or more")
    return Repetition(name, n=n)


REPETITION = ComponentKind("repetition", read, keys=("n",), position=6)
