"""Dotted settings: flattening, layering and provenance.

A setting is a dotted path into the run spec with a value. A sweep file may write it nested or dotted
(`rl: {steps: 5}` or `rl.steps: 5`); both flatten to the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolrl_cli.errors import SpecError

ABSENT = object()
"""Stands for the value of a setting that nothing sets."""

WHOLE = frozenset({"model", "reward", "data"})
"""Keys whose value may be a name or a self-contained mapping, which then replaces what was there."""

SELF_CONTAINED = frozenset({"kind", "name", "components"})
"""A mapping with one of these stands for itself; without, it changes single fields."""

PASS_THROUGH = (("verl", "sft"), ("verl", "rl"))
"""Below these a dotted name is one key: verl's own option."""


def flatten(mapping: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Nested or dotted keys → dotted keys.

    Raises:
        SpecError: two spellings of one key, or an empty part in a dotted key.
    """
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if not key or any(not part for part in key.split(".")):
            raise SpecError(f"key {key!r} has an empty part", where, "write it as a.b.c")
        for path, leaf in _leaves(key, value):
            if path in flat:
                raise SpecError(f"{path!r} is set twice in one place", where, "keep one spelling")
            flat[path] = leaf
    return flat


def _leaves(path: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        return [(path, value)]
    if path == "reward" or (path in WHOLE and SELF_CONTAINED & set(value)):
        return [(path, dict(value))]
    if not value:
        return [(path, {})]
    return [leaf for key, item in value.items() for leaf in _leaves(f"{path}.{key}", item)]


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
