"""What a kind of reward component is, and which kinds there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.registry import Registry
from toolrl_cli.rewards.components import Component
from toolrl_cli.rewards.errors import RewardError


@dataclass(frozen=True)
class ComponentKind:
    """One kind of component, by name.

    Attributes:
        name: as in `components: {part: {kind: NAME}}`.
        read: builds a component from the part's name, its mapping, the mapping's key path (for messages) and the
            folder that paths are relative to. The caller applies `range`, `schedule` and `weight`. Raises RewardError.
        keys: the keys of the mapping that `read` handles itself.
        position: sort key of its parts among a reward's parts.
    """

    name: str
    read: Callable[[str, Mapping[str, Any], str, Path], Component]
    keys: tuple[str, ...] = ()
    position: int = 9


COMPONENT_KINDS: Registry[ComponentKind] = Registry(
    "toolrl.rewards", "toolrl_cli.rewards.kinds", ComponentKind, "kind of component", RewardError
)
