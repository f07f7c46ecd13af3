"""All faults of a sweep in one go: what is wrong is left out, and the rest is looked at again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from toolrl_cli.errors import Mistakes, SpecError
from toolrl_cli.spec.sweeps.reading.key_path import KeyPath
from toolrl_cli.spec.sweeps.reading.source import Source

MOST = 20
"""Faults that are worth telling at once."""

_LINE = re.compile(r":(\d+):")


def every_fault(
    first: SpecError, source: Source, sets: Sequence[str], check: Callable[[Source, Sequence[str]], Any]
) -> SpecError:
    """The fault that was found, with those that are found when it is left out, in the order of the file.

    Only what stands in the file or in a `--set` can be left out; a fault of the whole ends the search. Nothing is told
    that is wrong only because something was left out: that has no place of its own, or one around it.

    Args:
        first: the fault that was found.
        source: the file, before `--set`.
        sets: `key=value` as given to `--set`.
        check: reads and resolves what is left; raises the next fault.
    """
    faults: list[SpecError] = [first]
    fault, left_out, sets, whole = first, list[KeyPath](), list(sets), source
    while len(faults) < MOST:
        given = [text for text in sets if _is_at(fault.where, f"--set {text.partition('=')[0].strip()}")]
        path = _path(fault.where, source)
        if given:
            sets = [text for text in sets if text not in given]
        elif path is not None:
            source = without(source, path)
            left_out.append(path)
        else:
            break
        try:
            check(source, sets)
        except SpecError as error:
            at = _path(error.where, source)
            placed = at is not None or error.where.startswith("--set ")
            if isinstance(error, Mistakes) or not placed or str(error) in map(str, faults):
                break
            if at is None:
                faults.append(error)
            elif all(path[: len(at)] != at or path == at for path in left_out):
                place = error.where.replace(source.where(at), whole.where(_in_the_file(at, left_out)), 1)
                faults.append(SpecError(error.what, place, error.hint))
            fault = error
        else:
            break
    if len(faults) == 1:
        return first
    return Mistakes(sorted(faults, key=lambda fault: _line(fault.where)))


def without(source: Source, path: KeyPath) -> Source:
    """The same without the value at a key path, and without the list that it is all of; later items move up."""
    *above, last = path
    if isinstance(last, int) and len(_at(source.data, above)) == 1:
        return without(source, tuple(above))  # an empty list would be a fault of its own
    lines = {}
    for known, line in source.lines.items():
        if known[: len(path)] == path:
            continue
        if isinstance(last, int) and known[: len(above)] == tuple(above) and len(known) > len(above):
            position = known[len(above)]
            if isinstance(position, int) and position > last:
                known = (*above, position - 1, *known[len(path) :])
        lines[known] = line
    return replace(source, data=_without(source.data, path), lines=lines)


def _in_the_file(path: KeyPath, left_out: Sequence[KeyPath]) -> KeyPath:
    """Where what is at a key path now stands in the file, before items of lists moved up."""
    for *above, last in reversed(left_out):
        at = len(above)
        if isinstance(last, int) and len(path) > at and [*path[:at]] == above:
            here = path[at]
            if isinstance(here, int) and here >= last:
                path = (*path[:at], here + 1, *path[at + 1 :])
    return path


def _at(node: Any, path: Iterable[Any]) -> Any:
    for part in path:
        node = node[part]
    return node


def _without(node: Any, path: Iterable[Any]) -> Any:
    first, *rest = path
    if isinstance(node, list):
        inner = [_without(node[first], rest)] if rest else []
        return [*node[:first], *inner, *node[first + 1 :]]
    return {
        key: _without(value, rest) if key == first else value
        for key, value in node.items()
        if key != first or rest
    }


def _path(where: str, source: Source) -> KeyPath | None:
    """The key path of the file that a place names; None where it names none that is there."""
    found = [path for path in source.lines if path and _is_at(where, source.where(path))]
    return max(found, key=len, default=None)


def _is_at(where: str, place: str) -> bool:
    return where == place or where.startswith((f"{place}: ", f"{place} ("))


def _line(where: str) -> int:
    found = _LINE.search(where)
    return int(found[1]) if found else 0
