"""`cosine`: a value that moves with the length of the response, one way where a part is right, else another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Component, Range, Term, own_range, tokens_of
from toolrl_cli.rewards.errors import RewardError, shown
from toolrl_cli.rewards.reading import Reading
from toolrl_cli.rewards.schedule import as_number


@dataclass(frozen=True)
class Cosine(Component):
    """end + (start - end) / 2 · (1 + cos(π · tokens / max_length)), from `right` where the part is, else from `wrong`.

    "Demystifying Long CoT" (arXiv 2502.03373), as in ms-swift; a length beyond the maximum turns back there.

    Attributes:
        of: the part; right where its share of its own range is `at_least` or more.
        right, wrong: [start, end]: the value for no token, and for `max_length`.
        beyond: the value for `max_length` tokens or more; None: the cosine goes on.
    """

    of: str = ""
    at_least: float = 0.5
    right: tuple[float, float] = (1.0, 0.5)
    wrong: tuple[float, float] = (-0.5, 0.0)
    max_length: int = 1
    beyond: float | None = None

    kind: ClassVar[str] = "cosine"

    @property
    def needs(self) -> frozenset[str]:
        return super().needs | {"tokens"}

    @property
    def judges(self) -> bool:
        return False

    @property
    def refers_to(self) -> tuple[str, ...]:
        return (*super().refers_to, self.of)

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        tokens = tokens_of(reading, self.name)
        if self.beyond is not None and tokens >= self.max_length:
            return self.beyond
        start, end = self.right if reading.shares[self.of] >= self.at_least else self.wrong
        return end + (start - end) / 2 * (1 + math.cos(math.pi * tokens / self.max_length))

    def reach(self, reading: Reading | None, fidelity: str, low: float, high: float) -> Range:
        ends = [*self.right, *self.wrong, *([] if self.beyond is None else [self.beyond])]
        return min(ends), max(ends)

    def terms(self, reading: Reading, low: float, high: float, raw: float) -> tuple[Term, ...]:
        right = reading.shares[self.of] >= self.at_least
        start, end = self.right if right else self.wrong
        curve = f"{end:g} + {start - end:g} / 2 · (1 + cos(π · tokens / {self.max_length}))"
        rule = f"{curve}, {self.of} is {'right' if right else 'wrong'}"
        return (Term("tokens", "of the response", float(reading.tokens or 0)), Term("raw", rule, raw))

    def to_dict(self) -> dict[str, Any]:
        rest = {
            "of": self.of,
            "at_least": self.at_least,
            "right": list(self.right),
            "wrong": list(self.wrong),
        }
        return {**super().to_dict(), **rest, "max_length": self.max_length, "beyond": self.beyond}


def read(name: str, raw: Mapping[str, Any], where: str, base: Path) -> Component:
    """See `ComponentKind.read`."""
    longest = raw.get("max_length")
    if isinstance(longest, bool) or not isinstance(longest, int) or longest < 1:
        raise RewardError(
            f"{shown(longest)} is no number of tokens", f"{where}.max_length", "as rl.max_response_length"
        )
    if not isinstance(raw.get("of"), str):
        raise RewardError("cosine says which part decides what is right", f"{where}.of", "of: exact")
    made = Cosine(
        name,
        of=raw["of"],
        at_least=as_number(raw.get("at_least", 0.5), f"{where}.at_least"),
        right=_ends(raw.get("right", Cosine.right), f"{where}.right"),
        wrong=_ends(raw.get("wrong", Cosine.wrong), f"{where}.wrong"),
        max_length=longest,
        beyond=None if raw.get("beyond") is None else as_number(raw["beyond"], f"{where}.beyond"),
    )
    return replace(made, range=own_range(made.reach(None, "", 0, 0), raw, where))


def _ends(raw: Any, where: str) -> tuple[float, float]:
    if not isinstance(raw, (list, tuple)) or len(raw) != 2:
        raise RewardError(f"{shown(raw)} is no [start, end]", where)
    return as_number(raw[0], where), as_number(raw[1], where)


COSINE = ComponentKind(
    "cosine", read, keys=("of", "at_least", "right", "wrong", "max_length", "beyond"), position=7
)
