"""The order of a reward's parts: what others refer to comes before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from toolrl_cli.rewards.components import Component
from toolrl_cli.rewards.errors import RewardError, nearest


def in_order(parts: Sequence[Component], key: Callable[[Component], Any]) -> tuple[Component, ...]:
    """Parts sorted by `key`, each after those that it refers to.

    Raises:
        RewardError: a part refers to one that is not there, has no range, or is of other rows; or to itself through
            others.
    """
    by_name = {part.name: part for part in parts}
    for part in parts:
        for name in part.refers_to:
            where = f"reward.components.{part.name}"
            if name not in by_name:
                raise RewardError(f"refers to {name!r}, which is no part", where, nearest(name, by_name))
            if by_name[name].range is None:
                raise RewardError(
                    f"refers to {name!r}, which has no range", where, f"give {name} a range: [low, high]"
                )
            if by_name[name].sources and by_name[name].sources != part.sources:
                raise RewardError(f"refers to {name!r}, which is not for the same sources", where)
    try:
        depths: dict[str, int] = {}
        for name in TopologicalSorter({part.name: part.refers_to for part in parts}).static_order():
            depths[name] = 1 + max((depths[each] for each in by_name[name].refers_to), default=-1)
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise RewardError(f"parts refer to each other in a circle: {circle}", "reward.components") from error
    return tuple(sorted(parts, key=lambda part: (depths[part.name], key(part))))
