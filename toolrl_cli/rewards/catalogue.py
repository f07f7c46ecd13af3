"""A readable list of all named designs: formula, value range and source of each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from toolrl_cli.rewards.designs import NAMES
from toolrl_cli.rewards.resolve import get_reward

PAPER = "arXiv 2504.13958"
CODE = "ToolRL 8cee13e"
PAPER_STEPS = 105  # of the paper's runs: 3,920 rows, 512 a step, 15 epochs


@dataclass(frozen=True)
class Design:
    """A named design under one fidelity.

    Attributes:
        name: as `get_reward` takes it.
        axes: the axes that the name sets.
        formula: of the terms that the design changes.
        ranges: [least, most] of each part and of the `total`, at the first step and at the last of a run of
            105 steps, the paper's.
        source: section or table of the paper, and the environment variables of the released code.
    """

    name: str
    axes: tuple[str, ...]
    fidelity: str
    formula: str
    ranges: dict[str, dict[str, tuple[float, float]]]
    source: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Listed:
    """A design of another paper.

    Attributes:
        name, source, evidence, formula, note: see `FieldDesign`.
        range: [least, most] total.
        needs: what rows must have beside their texts: `tokens`, `tools`.
    """

    name: str
    formula: str
    range: tuple[float, float]
    needs: tuple[str, ...]
    evidence: str
    source: str
    note: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def field_catalogue() -> tuple[Listed, ...]:
    """All designs of other papers, in the order of `field.designs`."""
    from toolrl_cli.rewards.field.designs import DESIGNS

    found = []
    for design in DESIGNS:
        reward = get_reward(design.name)
        needs = tuple(sorted(frozenset[str]().union(*(part.needs for part in reward.components))))
        told = (design.evidence, design.source, design.note)
        found.append(Listed(design.name, design.formula, reward.total_range(), needs, *told))
    return tuple(found)


# name -> (formula as released, formula of the paper, place in the paper, environment of the released code)
_TEXTS: dict[str, tuple[str, str, str, str]] = {
    "original": (
        "format {0, 1} + 6·R/S_max - 3; R = name Jaccard with repeats + Σ over greedy same-name pairs of "
        "(key Jaccard + equal values); S_max = 1 + calls + parameters; 0 where no call is wanted",
        "format {0, 1} + 6·R/S_max - 3; R = name Jaccard + max over matchings of Σ (key Jaccard + equal values)",
        "section 3.3, table 1",
        "none",
    ),
    "equal_max": (
        "correctness 2·R/S_max - 1",
        "correctness 2·R/S_max - 1",
        "table 6",
        "CORRECTMAX1=1",
    ),
    "two_stage": (
        "before step 30 correctness 2·R/S_max - 1; from step 30 format {0, 0.5}, correctness 6·R/S_max - 3",
        "before step 30 correctness 2·R/S_max - 1; from step 30 format {0, 0.5}, correctness 6·R/S_max - 3",
        "table 6",
        "MAX1STEP30MAX3=1",
    ),
    "dynamic": (
        "p = step/150, at most 1: format in {min(2p - 2, -1), 2 - p}, correctness in [-2 - p, 2 + p]",
        "p = step/steps of the run: format in {p - 2, 2 - p}, correctness in [-2 - p, 2 + p]",
        "table 6",
        "SCHEDULEREWARD=1",
    ),
    "finegrained": (
        "R = [names equal in order] + Σ over greedy pairs ([keys equal in order] + equal values)",
        "R = [names equal] + max over matchings of Σ ([keys equal] + equal values)",
        "table 7",
        "REFINEDREWARD=1",
    ),
    "intermediate": (
        "R = name Jaccard with repeats + Σ [call equal]; S_max = 1 + calls",
        "R = name Jaccard + max over matchings of Σ [parameters equal]; S_max = 1 + calls",
        "table 7",
        "INTERMEDIATEREWARD=1",
    ),
    "coarse": (
        "R/S_max = [lists of calls equal, in order]",
        "R/S_max = [sets of calls equal]",
        "table 7",
        "COARSEREWARD=1",
    ),
    "length": (
        "+ min(think words / 512, 1), the ratio to two decimals",
        "+ min(think words / 512, 1)",
        "table 5",
        "WITHLENGTH=1",
    ),
    "length_dynamic": (
        "+ min(think words / (384 + 256·step/105), 1), the ratio to two decimals",
        "+ min(think words / (512·(1 + p)), 1), p = step/steps of the run",
        "table 5",
        "WITHLENGTH=1 SCHEDULELENGTH=1",
    ),
}


def catalogue(fidelity: str = "released") -> tuple[Design, ...]:
    """All named designs under one fidelity, in the order of the paper's tables.

    Args:
        fidelity: `released` or `paper`.
    """
    return tuple(_design(name, fidelity) for name in NAMES)


def _design(name: str, fidelity: str) -> Design:
    as_released, as_printed, place, environment = _TEXTS[name]
    return Design(
        name=name,
        axes=tuple(NAMES[name]),
        fidelity=fidelity,
        formula=as_released if fidelity == "released" else as_printed,
        ranges={"first": _ranges(name, fidelity, 1), "last": _ranges(name, fidelity, PAPER_STEPS)},
        source=f"{PAPER}, {place}; {CODE}, environment {environment}",
    )


def _ranges(name: str, fidelity: str, step: int) -> dict[str, tuple[float, float]]:
    reward = get_reward({"name": name, "fidelity": fidelity})
    ranges = reward.part_ranges(step, PAPER_STEPS)
    return {**ranges, "total": reward.total_range(step, PAPER_STEPS)}
