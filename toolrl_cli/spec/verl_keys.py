"""verl's options as they count in an identity: each under one spelling."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from toolrl_cli.errors import SpecError


def canonical_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted name without Hydra's `+` or `++` → value: `+a.b`, `++a.b`, `a.b` and `{a: {b: …}}` are one option.

    `~a.b`, which removes an option, keeps its mark.

    Raises:
        SpecError: two spellings of one option have different values.
    """
    found: dict[str, Any] = {}
    for name, value in _leaves("", options):
        if found.setdefault(name, value) != value:
            what = f"{name!r} is set twice, to {found[name]!r} and {value!r}"
            raise SpecError(what, "verl", "keep one spelling (`key`, `+key` and `++key` are one option)")
    return found


def _leaves(prefix: str, options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in options.items():
        name = f"{prefix}{key}" if prefix else key.lstrip("+")
        if isinstance(value, Mapping) and value:
            yield from _leaves(f"{name}.", value)
        else:
            yield name, value
