"""Interpolation: values of a file that refer to others of it, `${base.rl.lr}`.

OmegaConf's way to write keys, with differences. A key is found in whichever way it is spelt, nested
(`rl: {lr: …}`) or dotted (`rl.lr: …`). Every value is resolved once, and what comes of it is counted, so that no
small file grows beyond all bounds. Of OmegaConf's resolvers there is `${oc.env:NAME}` and `${oc.env:NAME,default}`, a
variable of the environment as text. `\\${…}` is left alone, without the `\\`, for options of verl that hold one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.secrets import LOGIN, SECRET_NAME
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.spec.sweeps.reading.key_path import KeyPath, dotted
from toolrl_cli.spec.sweeps.settings import apply, copied

MAX_VALUES = 100_000
"""Most values in what an interpolation gives; a text counts as one more for every 100 characters."""

_OPENED = re.compile(r"(\\?)\$\{([^${}]*)(\}?)")
_REFERENCE = re.compile(r"\s*(\.*)([^.\[\]:\s]+(?:\.[^.\[\]:\s]+|\[\d+\])*)\s*")
_VARIABLE = re.compile(r"\s*oc\.env:\s*(\w+)\s*(?:,\s*(.*?)\s*)?")
_PART = re.compile(r"[^.\[\]]+")

GIVEN = "--set"
"""Stands before the key paths of values that are given beside a file."""


def interpolated(
    data: dict[str, Any],
    place: Callable[[KeyPath], str],
    file: Mapping[str, Any] | None = None,
    over: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A mapping with every interpolation resolved; itself where it has none.

    Args:
        data: the mapping.
        place: key path → where it stands, for messages.
        file: what the interpolations refer to, where that is another mapping; key paths then begin with `GIVEN`.
        over: dotted settings that take the place of the file's `base`, also where it is referred to.

    Raises:
        SpecError: one that is malformed or names nothing, some that refer to each other in a circle, or a result
            that is too large.
    """
    if "${" not in repr(data):
        return data
    start = () if file is None else (GIVEN,)
    found: dict[str, Any] = _Interpolation(data if file is None else file, place, over or {}).value(
        start, data
    )[0]
    return found


class _Interpolation:
    def __init__(
        self, data: Mapping[str, Any], place: Callable[[KeyPath], str], over: Mapping[str, Any]
    ) -> None:
        self._data, self._place, self._over = data, place, over
        self._known: dict[KeyPath, tuple[Any, int]] = {}
        self._open: list[KeyPath] = []

    def value(self, path: KeyPath, raw: Any) -> tuple[Any, int]:
        """The value at a path, resolved, and how many values that are."""
        if path not in self._known:
            if path in self._open:
                circle = [*self._open[self._open.index(path) :], path]
                raise self._fault(path, f"a circle: {' → '.join(map(dotted, circle))}")
            self._open.append(path)
            try:
                value, size = self._resolved(path, raw)
            except RecursionError:
                raise self._fault(path, "too many values refer to the next") from None
            if size > MAX_VALUES:
                raise self._fault(path, f"more than {MAX_VALUES:,} values come of it")
            self._known[path] = value, size
            self._open.pop()
        return self._known[path]

    def _resolved(self, path: KeyPath, raw: Any) -> tuple[Any, int]:
        if isinstance(raw, str):
            return self._text(path, raw)
        if isinstance(raw, dict):
            items = {key: self.value((*path, key), inner) for key, inner in raw.items()}
            return {key: value for key, (value, _) in items.items()}, 1 + sum(n for _, n in items.values())
        if isinstance(raw, list):
            entries = [self.value((*path, position), inner) for position, inner in enumerate(raw)]
            return [value for value, _ in entries], 1 + sum(n for _, n in entries)
        return raw, 1

    def _text(self, path: KeyPath, text: str) -> tuple[Any, int]:
        """A reference that stands alone gives the value it names; one within a text, that value as text."""
        parts: list[str] = []
        end, length = 0, 0
        for match in _OPENED.finditer(text):
            parts.append(text[end : match.start()])
            end = match.end()
            if match[1]:
                parts.append(match[0].removeprefix("\\"))
                continue
            if not match[3]:
                raise self._fault(path, f"{match[0]!r} is not closed", "write ${base.rl.lr}")
            value, size = self._named(path, match[2])
            if match[0] == text:
                return value, size
            if isinstance(value, (dict, list)):
                raise self._fault(path, f"{match[0]} is no single value", "let it stand alone")
            parts.append(_as_text(value))
            length += len(parts[-1])
            if length > 100 * MAX_VALUES:
                raise self._fault(path, f"more than {100 * MAX_VALUES:,} characters come of it")
        return "".join((*parts, text[end:])), 1 + length // 100

    def _named(self, path: KeyPath, name: str) -> tuple[Any, int]:
        """What a reference names: keys from the top of the file or, behind a `.`, from beside the value."""
        if variable := _VARIABLE.fullmatch(name):
            return self._variable(path, variable[1], variable[2])
        match = _REFERENCE.fullmatch(name)
        if match is None:
            raise self._fault(path, f"${{{name}}} names no key", "write ${base.rl.lr}")
        above = _PART.findall(dotted(path))
        parts = _PART.findall(match[2])
        if match[1]:
            parts = above[: len(above) - len(match[1])] + parts
        whole = parts
        node, at, parts = self._start(path, parts)
        while parts:
            if isinstance(node, str):
                node = self.value(at, node)[0]
            key, used = _key(node, parts)
            if not used:
                here, rest = dotted(at) or "the file", ".".join(parts)
                hint = hint_for(rest, node, "keys there") if isinstance(node, dict) else ""
                raise self._fault(path, f"{here} has no {rest!r}", hint)
            node, at, parts = node[key], (*at, key), parts[used:]
        value, size = self.value(at, node)
        for key, given in self._over.items() if isinstance(value, dict) else ():
            below = ["base", *key.split(".")]
            if len(below) > len(whole) and below[: len(whole)] == whole:
                value, (inner, more) = copied(value), self.value((GIVEN, key), given)
                apply({".".join(below[len(whole) :]): inner}, value)
                size += more
        return value, size

    def _start(self, path: KeyPath, parts: list[str]) -> tuple[Any, KeyPath, list[str]]:
        """Where a reference begins: what is laid over a setting of `base`, or the file."""
        for key, given in self._over.items():
            own = ["base", *key.split(".")]
            if parts[: len(own)] == own and path[:2] != (GIVEN, key):
                return given, (GIVEN, key), parts[len(own) :]
        return self._data, (), parts

    def _variable(self, path: KeyPath, name: str, default: str | None) -> tuple[str, int]:
        value = os.environ.get(name, default)
        if value is None:
            hint = f"set it, or give a default: ${{oc.env:{name},default}}"
            raise self._fault(path, f"the environment has no {name!r}", hint)
        if SECRET_NAME.search(name) or LOGIN.search(value):
            why = "is a secret by its name" if SECRET_NAME.search(name) else "holds a login"
            hint = "leave it in the environment, where attempts read it; one that is no secret needs another name"
            raise self._fault(path, f"{name!r} {why}, and plans and results would show its value", hint)
        return value, 1 + len(value) // 100

    def _fault(self, path: KeyPath, what: str, hint: str = "") -> SpecError:
        return SpecError(f"interpolation does not resolve: {what}", self._place(path), hint)


def _key(node: Any, parts: list[str]) -> tuple[str | int, int]:
    """The longest key of a node that the first of some parts spell, and how many they are; 0 where none is."""
    if isinstance(node, list) and parts[0].isdecimal() and int(parts[0]) < len(node):
        return int(parts[0]), 1
    spelt = range(len(parts), 0, -1) if isinstance(node, dict) else ()
    used = next((n for n in spelt if ".".join(parts[:n]) in node), 0)
    return ".".join(parts[:used]), used


def _as_text(value: Any) -> str:
    """A value within a text, as YAML has it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
