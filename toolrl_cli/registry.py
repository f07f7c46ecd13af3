"""Named objects of one sort: toolrl's own, each in a module of its name, and those that other distributions add.

A module `NAME.py` in the registry's folder that holds an object of the sort registers it: nothing else lists it.
Another distribution names its objects in its `pyproject.toml`:

    [project.entry-points."toolrl.benchmarks"]
    my_benchmark = "my_package.my_module:MyBenchmark"
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Registry(Generic[T]):
    """The objects of one sort by name; each is imported when it is asked for.

    Args:
        group: the group of entry points, such as `toolrl.benchmarks`.
        folder: the package with toolrl's own, such as `toolrl_cli.benchmarks.catalogue`.
        sort: the class that every object is of.
        noun: what one is called in messages.
        error: made from (what, where, hint) and raised where an object is unknown or cannot be used.
    """

    def __init__(
        self, group: str, folder: str, sort: type[Any], noun: str, error: Callable[[str, str, str], Exception]
    ) -> None:
        self.group = group
        self._folder = folder
        self._sort = sort
        self._noun = noun
        self._error = error
        self._loaded: dict[str, T] = {}

    def names(self) -> list[str]:
        """All names, toolrl's own first.

        Raises:
            the registry's error: two objects have one name.
        """
        own, added = self._own(), _entry_points(self.group, tuple(sys.path))
        for name, point in added.items():
            if name in own:
                hint = "rename it, or uninstall the distribution"
                raise self._error(f"{self._noun} {name!r} is toolrl's own", _place(point), hint)
        return [*own, *added]

    def __contains__(self, name: object) -> bool:
        return name in self._own() or name in _entry_points(self.group, tuple(sys.path))

    def get(self, name: str, where: str = "") -> T:
        """The object of this name.

        Args:
            name: its name.
            where: what names it, for the message where there is none.

        Raises:
            the registry's error: there is none, or it cannot be loaded.
        """
        if name not in self._loaded:
            if name in self._own():
                module = importlib.import_module(f"{self._folder}.{name}")
                self._loaded[name] = self._one_of(vars(module).values(), module.__name__)
            else:
                self._loaded[name] = self._added(name, where)
        return self._loaded[name]

    def all(self) -> dict[str, T]:
        """Name → object."""
        return {name: self.get(name) for name in self.names()}

    def _own(self) -> list[str]:
        return _modules(self._folder)

    def _one_of(self, values: Iterable[object], where: str) -> T:
        found = [value for value in values if isinstance(value, self._sort)]
        if len(found) != 1:
            raise self._error(
                f"holds {len(found)} objects of {self._sort.__name__}", where, "one is expected"
            )
        only: T = found[0]
        return only

    def _added(self, name: str, where: str) -> T:
        names = self.names()
        point = _entry_points(self.group, tuple(sys.path)).get(name)
        if point is None:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
            raise self._error(f"unknown {self._noun} {name!r}", where, hint)
        try:
            found = point.load()
        except Exception as error:  # it is somebody else's module, and may do anything when it is imported
            told = f"{type(error).__name__}: {error}".splitlines()[0]
            raise self._error(f"cannot be loaded: {told}", _place(point), "mend or uninstall it") from error
        if isinstance(found, type) and issubclass(found, self._sort):
            found = found()
        return self._one_of([found], _place(point))


@cache
def _modules(folder: str) -> list[str]:
    path = importlib.import_module(folder).__path__
    return sorted(module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))


@cache
def _entry_points(group: str, _path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """What is installed; looked up anew where `sys.path` has changed."""
    from importlib.metadata import entry_points  # costs as much as all else that an attempt imports

    return {point.name: point for point in sorted(entry_points(group=group), key=lambda point: point.name)}


def _place(point: EntryPoint) -> str:
    return f"{point.group}: {point.name} = {point.value}"
