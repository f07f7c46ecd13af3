"""Imports a user's file and those beside it by their own names, and never what Python has cached of them.

That cache goes by times and sizes, which an edit may leave as they were.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

INSTALLED = ("site-packages", "dist-packages")


def module_of(file: Path) -> ModuleType:
    """The module of a user's file.

    Raises:
        BaseException: whatever the user's code raises.
    """
    return importlib.import_module(find_beside(file))


def find_beside(file: Path) -> str:
    """Have this process find what lies beside a file: before what is installed, but for the standard library.

    Returns:
        The name of the file's own module.
    """
    name = file.stem
    if name in sys.modules or name in sys.stdlib_module_names:
        name = f"own_{name}"
    if not any(isinstance(finder, _Beside) for finder in sys.meta_path):
        sys.path_hooks.insert(0, _hook(file.parent))
        sys.path_importer_cache.clear()
        sys.meta_path.insert(0, _Beside(file, name))
        sys.path.append(str(file.parent))  # for folders that are packages without an `__init__.py`
    return name


class _Beside(MetaPathFinder):
    """Finds a user's file, and the modules and packages of its folder."""

    def __init__(self, file: Path, name: str) -> None:
        self._file, self._name = file, name
        self._folder = _finder(str(file.parent))

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == self._name:
            loader = _Uncached(fullname, str(self._file))
            return importlib.util.spec_from_file_location(fullname, self._file, loader=loader)
        if path is not None or fullname in sys.stdlib_module_names:
            return None
        found = self._folder.find_spec(fullname)
        return found if found and found.loader else None

    def invalidate_caches(self) -> None:
        self._folder.invalidate_caches()


class _Uncached(SourceFileLoader):
    """Compiles what a file holds."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        above = len(fullname.split(".")) + self.is_package(fullname)
        tree = ast.fix_missing_locations(_MadeAbsolute(above).visit(tree))
        return compile(tree, path, "exec", dont_inherit=True)


class _MadeAbsolute(ast.NodeTransformer):
    """Turns `from .helper import f` into `from helper import f`: the folder of a user's file is no package.

    Args:
        above: dots that mean that folder.
    """

    def __init__(self, above: int) -> None:
        self._above = above

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        if node.level != self._above:
            return node
        if node.module is None and node.names[0].name == "*":
            return ast.copy_location(ast.Pass(), node)  # such a folder has nothing in itself
        if node.module is None:
            return ast.copy_location(ast.Import(node.names), node)
        node.level = 0
        return node


def _finder(folder: str) -> FileFinder:
    return FileFinder(folder, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_Uncached, SOURCE_SUFFIXES))


def _hook(root: Path) -> Any:
    def found(entry: str) -> FileFinder:
        folder = Path(entry).absolute()
        if not folder.is_dir():  # an archive, say
            raise ImportError(f"{entry} is no folder")
        if not folder.is_relative_to(root) or {*folder.relative_to(root).parts} & {*INSTALLED}:
            raise ImportError(f"{entry} is not the user's")
        return _finder(entry)

    return found
