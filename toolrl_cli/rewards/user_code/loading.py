"""Imports a user's file with the files beside it, as they were when they were found.

They become modules of a package of their own, named by their digest: two rewards may each have a `helper.py`, and a
file that changes is another package. Their imports of each other are made relative to it when they are compiled.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from toolrl_cli.rewards.errors import RewardError
from toolrl_cli.rewards.user_code.sources import (
    Source,
    Sources,
    Where,
    changed,
    parsed,
    source_of_module,
    sources_of,
)

MARK = "toolrl-reward:"
"""In `sys.path`, before each file that was loaded: all that `multiprocessing` hands to every process that it starts."""


def load(sources: Sources) -> ModuleType:
    """The module of a user's file; the same one each time.

    Raises:
        Exception: whatever the user's code raises.
    """
    package = _FINDER.add(sources)
    _LOADED[f"{MARK}{sources.files[sources.main].path}"] = None
    sys.path.extend(mark for mark in _LOADED if mark not in sys.path)
    return importlib.import_module(f"{package}.{sources.main}")


def find_again() -> None:
    """Make known what the process that has started this one had loaded; a file that has changed since is another."""
    for path in (entry.removeprefix(MARK) for entry in sys.path if entry.startswith(MARK)):
        with contextlib.suppress(RewardError):  # it may be gone
            _FINDER.add(sources_of(Path(path), path))


def function_of(where: Where) -> Any:
    """The function, imported.

    Raises:
        RewardError: its files have changed since its reward was resolved, or it is no Python file.
        BaseException: whatever the user's code raises.
    """
    place = where.path or where.module
    source = Path(where.path) if where.path else source_of_module(where.module, place)
    sources = sources_of(source, place, where.module)
    if sources.sha256 != where.sha256:
        raise changed(source, place)
    if where.path and source.suffix != ".py":
        raise ImportError("not a .py file")
    return getattr(load(sources) if where.path else importlib.import_module(where.module), where.function)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of users' files, and makes them."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Source, frozenset[str]]] = {}

    def add(self, sources: Sources) -> str:
        """Make the modules of these files known; gives the package that they are in."""
        package = f"toolrl_reward_{sources.sha256[:12]}"
        tops = frozenset(name.split(".")[0] for name in sources.files)
        for name, file in {"": Source(None, b"", True), **sources.files}.items():
            self._known.setdefault(f"{package}.{name}".rstrip("."), (name, file, tops))
        if self not in sys.meta_path:
            sys.meta_path.append(self)
        return package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._known:
            return None
        _, file, _ = self._known[fullname]
        origin = str(file.path) if file.path else None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=origin, is_package=file.package)
        spec.has_location = origin is not None
        return spec

    def exec_module(self, module: ModuleType) -> None:
        name, file, tops = self._known[module.__name__]
        if file.path is not None:
            exec(_compiled(name, file, file.path, tops), module.__dict__)


class _MadeRelative(ast.NodeTransformer):
    """Turns imports of files beside into relative ones."""

    def __init__(self, level: int, tops: frozenset[str]) -> None:
        self._level, self._tops = level, tops

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        return [made for alias in node.names for made in self._one(node, alias)]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        if not node.level and node.module and node.module.split(".")[0] in self._tops:
            node.level = self._level
        return node

    def _one(self, node: ast.Import, alias: ast.alias) -> list[ast.stmt]:
        top, _, below = alias.name.partition(".")
        if top not in self._tops:
            return [ast.copy_location(ast.Import([alias]), node)]
        if not below:
            return [self._relative(node, None, ast.alias(top, alias.asname))]
        parent, _, last = alias.name.rpartition(".")
        if alias.asname:
            return [self._relative(node, parent, ast.alias(last, alias.asname))]
        # `import a.b` loads both and binds `a`
        return [
            self._relative(node, parent, ast.alias(last, f"_toolrl_{last}")),
            self._relative(node, None, ast.alias(top)),
        ]

    def _relative(self, node: ast.Import, module: str | None, alias: ast.alias) -> ast.stmt:
        return ast.copy_location(ast.ImportFrom(module, [alias], self._level), node)


def _compiled(name: str, file: Source, path: Path, tops: frozenset[str]) -> CodeType:
    level = len(name.split(".")) + file.package
    tree = _MadeRelative(level, tops).visit(parsed(path, file.code, str(path)))
    return compile(ast.fix_missing_locations(tree), str(path), "exec", dont_inherit=True)


_FINDER = _Finder()
_LOADED: dict[str, None] = {}
