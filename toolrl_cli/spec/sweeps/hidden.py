"""What `base` sets and no cell, or not every one, gets: something stronger stands in its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.run.run_spec import KINDS
from toolrl_cli.spec.sweeps import presets
from toolrl_cli.spec.sweeps.grid import Cell
from toolrl_cli.spec.sweeps.places import base_place, place_of
from toolrl_cli.spec.sweeps.settings import WHOLE
from toolrl_cli.spec.sweeps.sweep import Document


def hidden(
    base: Mapping[str, Any], overrides: Mapping[str, Any], cells: Sequence[Cell], document: Document
) -> Iterator[str]:
    """One line for each setting of `base` that some or all cells do not get.

    Args:
        base, overrides: the dotted settings of `base` and of `--set`.
        cells: all of the sweep.
        document: the sweep.

    Raises:
        SpecError: a part of a block, and every arm of the file gives the whole of that block.
    """
    for key, value in base.items():
        if re.search(rf"\$\{{[^}}]*\bbase\.{re.escape(key)}\b", document.source.text):
            continue  # what refers to it has it
        block, place = key.partition(".")[0], base_place(key, document.source)
        if _sets(overrides, key):
            if place.startswith("--set "):
                yield f"{place}: changes nothing: --set {key} takes its place"
        elif block == key or block not in WHOLE:
            if all(_sets(cell.settings, key) for cell in cells):
                yield f"{place}: changes nothing: every arm sets {key}"
        elif block in overrides:
            yield f"--set {block}: takes the place of {key}, too, which base sets ({place})"
        else:
            yield from _replaced(
                key, value, [cell for cell in cells if block in cell.settings], cells, document
            )


def _replaced(
    key: str, value: Any, losing: Sequence[Cell], cells: Sequence[Cell], document: Document
) -> Iterator[str]:
    """A part in `base` of a block that these cells give as a whole."""
    block, place = key.partition(".")[0], base_place(key, document.source)
    if len(losing) == len(cells):
        places = [place_of(block, cell, document) for cell in cells]
        if all(given.startswith("--set ") for given in places):
            yield f"{places[0]}: takes the place of {key}, too, which base sets ({place})"
            return
        what = f"changes nothing: every arm gives the whole of {block}"
        given = quote(f"{key}={json.dumps(value)}")
        fits = all(_has_part(block, cell.settings[block], key) for cell in cells)
        raise SpecError(what, place, f"write it into each {block}, or --set {given}" if fits else "remove it")
    if losing:
        arms = [cell.arm for cell in losing]
        more = f" and {len(arms) - 3} more" if len(arms) > 3 else ""
        yield f"{place}: not for {', '.join(arms[:3])}{more}, which gives the whole of {block}"
    elif all(_sets(cell.settings, key) for cell in cells):
        yield f"{place}: changes nothing: every arm sets {key}"


def _sets(settings: Mapping[str, Any], key: str) -> bool:
    """Whether these settings give this one, or null for the block that it is in."""
    parts = key.split(".")
    above = (".".join(parts[:n]) for n in range(1, len(parts)))
    return key in settings or any(path in settings and settings[path] is None for path in above)


def _has_part(block: str, whole: Any, key: str) -> bool:
    """Whether a block that is given as a whole, by name or as a mapping, is of a kind that has this part."""
    found = presets.model(whole, "") if block == "model" else whole
    kind = KINDS.get(str(found.get("kind"))) if isinstance(found, Mapping) else None
    return kind is None or key.split(".")[1] in kind.model_fields
