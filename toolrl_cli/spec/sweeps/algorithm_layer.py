"""The layer between a preset and the sweep's own settings: what the algorithm brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.sweeps.settings import apply, copied


def algorithm_settings(name: Any) -> Mapping[str, Any]:
    """Dotted setting → value of those that an algorithm brings; empty for what is no name of one."""
    algorithm = ALGORITHMS.get(name) if isinstance(name, str) else None
    return {f"rl.{key}": value for key, value in algorithm.settings.items()} if algorithm else {}


def lay_algorithm(name: Any, tree: dict[str, Any]) -> None:
    """Lay an algorithm's settings over those of presets, in place, and drop verl's options of theirs that it sets.

    Args:
        name: as given, checked later.
        tree: nested settings that the presets give.
    """
    apply({key: copied(value) for key, value in algorithm_settings(name).items()}, tree)
    algorithm = ALGORITHMS.get(name) if isinstance(name, str) else None
    given = tree.get("verl", {}).get("rl", {})
    for option in algorithm.verl_options if algorithm else ():
        given.pop(option, None)
