"""A user's Python file with all that it imports from beside it: found without running anything."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from toolrl_cli.rewards.errors import RewardError

INIT = "__init__.py"


@dataclass(frozen=True)
class Source:
    """One file. A folder that is a package without `__init__.py` has no path and no code."""

    path: Path | None
    code: bytes
    package: bool


@dataclass(frozen=True)
class Sources:
    """A user's file and the files that it imports, directly or not, from its folder (of a module: its package).

    Attributes:
        main: dotted name of the user's file below that folder.
        files: dotted name below that folder → file.
    """

    main: str
    files: dict[str, Source]

    @cached_property
    def sha256(self) -> str:
        """Of the file alone where it imports none; else over all files with their names, but not its own."""
        digests = {
            name: hashlib.sha256(file.code).hexdigest() for name, file in self.files.items() if file.path
        }
        if len(digests) == 1:
            return digests[self.main]
        lines = [f"{'' if name == self.main else name}\0{digest}\n" for name, digest in digests.items()]
        return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


class Where(NamedTuple):
    """A function: its name, the digest of its sources, and the path of its file or the dotted name of its module.

    `batch` says that it is given all responses to a prompt together.
    """

    function: str
    sha256: str
    path: str
    module: str
    batch: bool = False


def sources_of(path: Path, where: str, module: str = "") -> Sources:
    """The files behind a user's file.

    Imports within functions count, and those that only run under a condition. What is imported by a name that is
    worked out while running, and files that are not Python, are not found. The standard library is not looked for
    beside the file.

    Args:
        path: the user's file.
        where: its key path, for messages.
        module: its dotted name, where it is imported by name.

    Raises:
        RewardError: a file cannot be read or is no valid Python, or imports from above its folder.
    """
    main = module or path.stem.replace(".", "_")
    root = path.parents[main.count(".") + (path.name == INIT)] if module else path.parent
    files = {main: Source(path, _read(path, where), bool(module) and path.name == INIT)}
    only = main.split(".")[0] if module and _is_installed(root) else None
    left = [main]
    while left:
        name = left.pop()
        file = files[name]
        for wanted in _imported(name, file, where):
            parts = wanted.split(".")
            if parts[0] in sys.stdlib_module_names or only not in (None, parts[0]):
                continue
            found = _find(root, parts, where, by_path=not module)
            for depth, source in enumerate(found, 1):
                known = ".".join(parts[:depth])
                if known not in files:
                    files[known] = source
                    left.append(known)
    return Sources(main, files)


def _find(root: Path, parts: list[str], where: str, *, by_path: bool) -> list[Source]:
    """What importing a dotted name loads of a folder, from its first part on; empty where it is not there."""
    found: list[Source] = []
    place = root
    for part in parts:
        place = place / part
        if (place / INIT).is_file():
            found.append(Source(place / INIT, _read(place / INIT, where), True))
        elif place.with_name(f"{part}.py").is_file():
            file = place.with_name(f"{part}.py")
            return [*found, Source(file, _read(file, where), False)]
        elif place.is_dir():
            found.append(Source(None, b"", True))
        else:
            break
    while found and found[-1].path is None:
        found.pop()
    # an installed package comes before a folder that is only called like it
    if found and found[0].path is None and by_path and _is_known(parts[0]):
        return []
    return found


def source_of_module(module: str, where: str) -> Path:
    """Source file of an importable module.

    Raises:
        RewardError: it cannot be found, or has no Python source.
    """
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError) as fault:
        raise RewardError(f"{module!r} cannot be imported: {fault}", where, "check the name") from fault
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise RewardError(f"{module!r} is no importable module", where, "check the name and PYTHONPATH")
    return Path(spec.origin)


def changed(source: Path, where: str) -> RewardError:
    """What to say of a file that is no longer as it was when its reward was resolved."""
    return RewardError(
        f"{source}, or a file that it imports, has changed since the reward was resolved",
        where,
        "`toolrl sweep` of its file runs with the files as they are now",
    )


def _imported(name: str, file: Source, where: str) -> Iterator[str]:
    """Absolute dotted names that a file may import."""
    if file.path is None:
        return
    for node in ast.walk(parsed(file.path, file.code, where)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                around = [*name.split("."), ""] if file.package else name.split(".")
                if node.level > len(around):
                    raise RewardError(
                        f"{file.path} imports from above its folder",
                        where,
                        "put what it imports into that folder, and import it by its own name",
                    )
                base = ".".join([*around[: -node.level], *([base] if base else [])])
            if base:
                yield base
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names if alias.name != "*")


def parsed(path: Path, code: bytes, where: str) -> ast.Module:
    """The syntax tree of a file.

    Raises:
        RewardError: it is no valid Python.
    """
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError) as fault:
        raise RewardError(f"{path} is no valid Python: {fault}", where) from fault


def names_in(tree: ast.AST) -> set[str]:
    """Names that a module may define, under whichever condition; `*` stands for those of another."""
    names: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            names.update(
                name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names
            )
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif not isinstance(node, ast.AnnAssign) or node.value is not None:
            names |= names_in(node)
    return names


def _read(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as fault:
        raise RewardError(f"cannot read {path}: {fault.strerror}", where, "check the path") from fault


def _is_installed(folder: Path) -> bool:
    """Whether a folder is one of the environment's own, where everything lies beside everything."""
    return str(folder) in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))


def _is_known(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
