"""Where a sweep sets something: the `--set`, or the line of the file, that a cell has it from."""

from __future__ import annotations

from toolrl_cli.spec.sweeps.grid import Cell
from toolrl_cli.spec.sweeps.reading.key_path import KeyPath
from toolrl_cli.spec.sweeps.reading.source import Source
from toolrl_cli.spec.sweeps.settings import touches
from toolrl_cli.spec.sweeps.sweep import Document


def place_of(key: str, cell: Cell, document: Document) -> str:
    """What sets a dotted setting for a cell, as file, line and key path; the file and the key where a preset does."""
    source = document.source
    for path in document.overrides:
        if touches(path, key):
            return f"--set {path}"
    for choice in cell.choices:
        if any(touches(path, key) for path in choice.settings):
            known = _spelt(choice.path, key.split("."), source)
            return source.where(known) if known != choice.path else choice.place
    return base_place(key, source)


def base_place(key: str, source: Source) -> str:
    """Where `base` sets a dotted setting, or the sweep's own `evaluate`; the file and the key where it does not."""
    if key == "evaluate" and source.has(("evaluate",)):
        return source.where(("evaluate",))
    known = _spelt(("base",), key.split("."), source)
    return source.where(known) if known != ("base",) else f"{source.name}: {key}"


def full_place_of(key: str, cell: Cell, document: Document) -> str:
    """The same, with the key behind it where the place does not end with it."""
    where = place_of(key, cell, document)
    return where if where.endswith(key) else f"{where} ({key})"


def _spelt(below: KeyPath, parts: list[str], source: Source) -> KeyPath:
    """The longest part of a dotted key that the file has below a place, however it is spelt there."""
    for size in range(len(parts), 0, -1):
        path = (*below, ".".join(parts[:size]))
        deeper = _spelt(path, parts[size:], source)
        if deeper != path or source.has(path):
            return deeper
    return below
