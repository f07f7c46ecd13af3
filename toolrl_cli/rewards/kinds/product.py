"""`product`: parts multiplied, so that one at its low end leaves nothing; of two-valued parts it is "all of"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from toolrl_cli.rewards.component_kind import ComponentKind
from toolrl_cli.rewards.components import Component, Term
from toolrl_cli.rewards.errors import RewardError, shown
from toolrl_cli.rewards.reading import Reading


@dataclass(frozen=True)
class Product(Component):
    """The product of the shares that parts have of their own ranges, on this component's range.

    Attributes:
        of: names of the parts.
    """

    of: tuple[str, ...] = ()

    kind: ClassVar[str] = "product"

    @property
    def refers_to(self) -> tuple[str, ...]:
        return super().refers_to + self.of

    def raw(self, reading: Reading, fidelity: str, low: float, high: float) -> float:
        share = math.prod(reading.shares[part] for part in self.of)
        return high if share == 1.0 else low + (high - low) * share

    def terms(self, reading: Reading, low: float, high: float, raw: float) -> tuple[Term, ...]:
        shares = tuple(Term(part, "share of its range", reading.shares[part]) for part in self.of)
        return (*shares, Term("raw", f"{low:g} + {high - low:g} · {' · '.join(self.of)}", raw))

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "of": list(self.of)}


def read(name: str, raw: Mapping[str, Any], where: str, base: Path) -> Component:
    """See `ComponentKind.read`."""
    of = raw.get("of")
    if not isinstance(of, (list, tuple)) or not of or not all(isinstance(part, str) for part in of):
        raise RewardError(f"{shown(of)} is no list of parts", f"{where}.of", "[names, arguments]")
    return Product(name, of=tuple(of))


PRODUCT = ComponentKind("product", read, keys=("of",), position=7)
