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
    return cell_place(key, cell, source) or base_place(key, source)


def cell_place(key: str, cell: Cell, source: Source) -> str:
    """Where a cell's own rules set a dotted setting; empty where they do not."""
    for choice in cell.choices:
        if any(touches(path, key) for path in choice.settings):
            inherited = any(touches(path, key) for path in choice.inherited)
            above: KeyPath = ("ablate", "baseline") if inherited else choice.path
            known = _spelt(above, key.split("."), source)
            return source.where(known) if known != above else choice.place
    return ""


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
