"""Dotted settings: flattening, layering and provenance.

A setting is a dotted path into the run spec with a value. A sweep file may write it nested or dotted
(`rl: {steps: 5}` or `rl.steps: 5`); both flatten to the same, but for a mapping that is a whole model, data or reward.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.rewards.resolve import SHARED

ABSENT = object()
"""Stands for the value of a setting that nothing sets."""

WHOLE = frozenset({"model", "reward", "data"})
"""Keys whose value may be a name or a self-contained mapping, which then replaces what was there."""

REWARD_PARTS = frozenset({"fidelity", "clamp", *SHARED})
"""Keys of a reward that change single fields of one; with any other beside them a mapping is a reward of its own."""

PASS_THROUGH = (("verl", "sft"), ("verl", "rl"))
"""Below these a dotted name is one key: verl's own option."""


def flatten(mapping: Mapping[str, Any], where: str = "", *, wholes: bool = True) -> dict[str, Any]:
    """Nested or dotted keys → dotted keys.

    Args:
        mapping: settings.
        where: place for the message.
        wholes: a mapping that stands for itself is one key; else all are taken apart.

    Raises:
        SpecError: two spellings of one key, an empty part in a dotted key, or `reward.components` with a mapping,
            which could be meant either way.
    """
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if not key or any(not part for part in key.split(".")):
            raise SpecError(f"key {key!r} has an empty part", where, "write it as a.b.c")
        if wholes and key == "reward.components" and isinstance(value, Mapping):
            hint = (
                "write reward: {components: {…}} for the whole reward, reward.components.NAME: {…} to add one"
            )
            raise SpecError("reward.components: all components, or some more?", where, hint)
        for path, leaf in _leaves(key, value, wholes):
            if path in flat:
                raise SpecError(f"{path!r} is set twice in one place", where, "keep one spelling")
            flat[path] = leaf
    return flat


def stands_alone(block: str, keys: Collection[str]) -> bool:
    """Whether a mapping with these keys is a whole model, data or reward; without, it changes single fields."""
    return bool(set(keys) - REWARD_PARTS) if block == "reward" else block in WHOLE and "kind" in keys


def _leaves(path: str, value: Any, wholes: bool) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        return [(path, value)]
    if wholes and (stands_alone(path, value) or (path.startswith("reward.") and "kind" in value)):
        return [(path, dict(value))]
    if not value:
        return [(path, {})]
    return [leaf for key, item in value.items() for leaf in _leaves(f"{path}.{key}", item, wholes)]


def apply(flat: Mapping[str, Any], target: dict[str, Any]) -> None:
    """Set dotted settings in a nested mapping, in place."""
    for path, value in flat.items():
        parts = split(path)
        node = target
        for depth, part in enumerate(parts[:-1]):
            inner = node.get(part)
            if not isinstance(inner, dict):
                named = inner is not None and depth == 0 and part in WHOLE
                inner = node[part] = {"name": inner} if named else {}
            node = inner
        if value != {} or not isinstance(node.get(parts[-1]), dict):  # `rl: {}` changes nothing
            node[parts[-1]] = value


def split(path: str) -> list[str]:
    """`rl.steps` → `["rl", "steps"]`; below `verl.rl` and `verl.sft` the rest is one key."""
    parts = path.split(".")
    if len(parts) > 2 and tuple(parts[:2]) in PASS_THROUGH:
        return [*parts[:2], ".".join(parts[2:])]
    return parts


def copied(value: Any) -> Any:
    """A copy of nested dicts and lists; leaves are shared."""
    if isinstance(value, dict):
        return {k: copied(v) for k, v in value.items()}
    if isinstance(value, list):
        return [copied(v) for v in value]
    return value


def matches(condition: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Every key of the condition has the given value (or one of the given values); a mapping goes by its name too."""
    for key, wanted in condition.items():
        if key not in settings:
            return False
        value = settings[key]
        name = value.get("name", value) if isinstance(value, Mapping) else value
        options = [wanted, *wanted] if isinstance(wanted, list) else [wanted]
        if value not in options and name not in options:
            return False
    return True


def touches(path: str, key: str) -> bool:
    """Whether one of two dotted keys is the other, or lies below it."""
    return path == key or path.startswith(f"{key}.") or key.startswith(f"{path}.")
