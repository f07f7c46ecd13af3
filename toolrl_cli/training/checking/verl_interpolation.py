"""Resolves the interpolations of verl's configuration in plain mappings."""

from __future__ import annotations

import re
from typing import Any

import yaml

from toolrl_cli.training.checking.option_fault import OptionFault
from toolrl_cli.wording import first_line

Tree = dict[str, Any]

MISSING = "???"

_SELECT = re.compile(r"\$\{oc\.select:\s*([\w.]+)\s*(?:,(.*))?\}", re.S)
_NODE = re.compile(r"\$\{([\w.]+)\}")


def resolve(tree: Tree) -> Tree:
    """A copy with every interpolation resolved.

    The forms that verl uses (`${a.b}`, `${.a}`, `${oc.select:a.b,default}`) are resolved here; OmegaConf resolves
    trees with other forms and takes 40 times as long.

    Raises:
        OptionFault: an interpolation cannot be resolved.
    """
    try:
        found: Tree = _resolved(tree, (), tree, 0)
        return found
    except (_OtherFormError, RecursionError):
        pass
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(OmegaConf.create(tree), resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise OptionFault(
            f"does not resolve: {first_line(error)}", getattr(error, "full_key", None) or ""
        ) from None


class _OtherFormError(Exception):
    """An interpolation of a form that is not resolved here."""


MAX_DEPTH = 50
"""Depth of nested interpolations; deeper ones refer to each other, and OmegaConf reports it."""


def _resolved(value: Any, path: tuple[str, ...], tree: Tree, depth: int) -> Any:
    if isinstance(value, dict):
        return {k: _resolved(v, (*path, str(k)), tree, depth) for k, v in value.items()}
    if isinstance(value, list):
        return [_resolved(v, (*path, str(i)), tree, depth) for i, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    if depth > MAX_DEPTH:
        raise _OtherFormError
    if whole := _NODE.fullmatch(value):
        return _node(whole[1], path, tree, depth)
    if select := _SELECT.fullmatch(value):
        known, found = _find(select[1], path, tree)
        if known and found != MISSING:
            return _resolved(found, _absolute(select[1], path), tree, depth + 1)
        default = (select[2] or "null").strip()
        if "${" in default:
            return _resolved(default, path, tree, depth + 1)
        return yaml.safe_load(default)
    text = _NODE.sub(lambda node: str(_node(node[1], path, tree, depth)), value)
    if "${" in text or "\\" in value:
        raise _OtherFormError
    return text


def _node(name: str, path: tuple[str, ...], tree: Tree, depth: int) -> Any:
    known, found = _find(name, path, tree)
    if not known or found == MISSING:
        raise _OtherFormError  # OmegaConf's message names the fault
    return _resolved(found, _absolute(name, path), tree, depth + 1)


def _absolute(name: str, path: tuple[str, ...]) -> tuple[str, ...]:
    dots = len(name) - len(name.lstrip("."))
    inside = tuple(name.lstrip(".").split("."))
    return inside if dots == 0 else (*path[: len(path) - dots], *inside)


def _find(name: str, path: tuple[str, ...], tree: Tree) -> tuple[bool, Any]:
    node: Any = tree
    for part in _absolute(name, path):
        if not isinstance(node, dict) or part not in node:
            return False, None
        node = node[part]
    return True, node
