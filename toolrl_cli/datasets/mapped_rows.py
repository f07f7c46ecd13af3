"""Rows of the user's own whose fields are named by a mapping: data kind `jsonl`. docs/data.md has the form.

They become the rows that `own_rows` reads. What cannot be taken is counted by reason, with its lines.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.datasets import own_rows
from toolrl_cli.datasets.converting.convert import Taken, take
from toolrl_cli.datasets.converting.mapped import at, paths_of, read_mapped
from toolrl_cli.datasets.converting.turns import Refused, Turn
from toolrl_cli.datasets.verl_rows import Row, gold_as_answer
from toolrl_cli.errors import SpecError
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.wording import listed

VERSION = 2
"""Of the conversion: other rows from the same file are another version, and other data."""
SOURCE = "jsonl"
"""`data_source` of rows whose mapping names none."""
LOOKED_AT = 100
"""Rows whose fields are suggested."""
SHOWN = 12
"""Lines of refused rows that a note names."""


def fingerprint(files: Mapping[str, str], fields: Mapping[str, str], limit: Mapping[str, int]) -> str:
    """SHA-256 over the content of the files of some splits, the mapping and the limits.

    Raises:
        SpecError: a file cannot be read.
    """
    sums = {split: own_rows.sha256_of(Path(path), split) for split, path in files.items()}
    told = {split: limit[split] for split in files if split in limit}
    whole = {"jsonl": sums, "version": VERSION, "fields": dict(fields), "limit": told}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def load(
    files: Mapping[str, str], fields: Mapping[str, str], limit: Mapping[str, int]
) -> tuple[dict[str, list[Row]], tuple[str, ...]]:
    """Split → rows as verl's trainers read them; and what was refused and lost, a line for each reason.

    Args:
        files: split → path.
        fields: what → its path in a row (`converting.mapped.read_mapped`); perhaps `data_source`, `id` and
            `extra_info`, too.
        limit: split → most rows.

    Raises:
        SpecError: a file cannot be read, no row has a field, or no row can be taken.
    """
    splits, notes = {}, list[str]()
    for split, path in files.items():
        splits[split], told = _load(Path(path), split, fields, limit.get(split))
        notes += told
    return splits, tuple(notes)


def first_rows(path: Path, split: str, fields: Mapping[str, str], most: int) -> list[Row]:
    """The first rows of a split; errors as `load`."""
    return _load(path, split, fields, most)[0]


def _load(path: Path, split: str, fields: Mapping[str, str], most: int | None) -> tuple[list[Row], list[str]]:
    found = own_rows.numbered_rows(path)
    _check_fields([row for _, row in found], fields, path)

    def rows_of(number: int, row: Row) -> Iterator[tuple[Turn, Row]]:
        source, identity, more = _told(row, fields, f"{path.stem}:{number}")
        turns = list(read_mapped(row, fields))
        for place, turn in enumerate(turns):
            turn.check()
            made = turn.row(source, identity if len(turns) == 1 else f"{identity}-{place}")
            made["extra_info"] = {**more, **made["extra_info"]}
            yield turn, own_rows.rl_row(made, number, path, split)

    taken = take(found, rows_of, path, most)
    rows = [row for made in taken.rows.values() for row in made][:most]
    if not rows:
        told = "; ".join(_counted(taken.refused))
        raise SpecError(
            f"none of {len(found)} rows can be taken: {told}", str(path), "docs/data.md has the form"
        )
    for position, row in enumerate(rows):
        row["extra_info"]["index"] = position
    if split == "sft":
        rows = [own_rows.sft_row(gold_as_answer(row), position, path) for position, row in enumerate(rows)]
    return rows, _notes(taken, path)


def _told(row: Row, fields: Mapping[str, str], identity: str) -> tuple[str, str, Mapping[str, Any]]:
    """The row's source, its id, and what else the reward may ask for."""
    source = at(row, fields["data_source"]) if "data_source" in fields else SOURCE
    if not isinstance(source, str) or not source:
        raise Refused(f"what stands at {fields['data_source']!r} is no text")
    own = at(row, fields["id"]) if "id" in fields else None
    more = at(row, fields["extra_info"]) if "extra_info" in fields else None
    if not isinstance(more or {}, Mapping):
        raise Refused(f"what stands at {fields['extra_info']!r} is no object")
    return source, identity if own is None else str(own), more or {}


def _check_fields(rows: Sequence[Row], fields: Mapping[str, str], path: Path) -> None:
    for name, place in fields.items():
        if all(at(row, place) is None for row in rows):
            known = paths_of(rows[:LOOKED_AT])
            raise SpecError(
                f"no row of {path} has {place!r}", f"data.fields.{name}", hint_for(place, known, "fields")
            )


def _notes(taken: Taken, path: Path) -> list[str]:
    refused = sum(map(len, taken.refused.values()))
    where = f"{path}: {refused} of {refused + len(taken.rows)} rows refused: "
    told = [where + "; ".join(_counted(taken.refused, path))] if refused else []
    return told + [f"{path}: rows lose {each}" for each in _counted(taken.lost, path)]


def _counted(reasons: Mapping[str, Sequence[int]], path: Path | None = None) -> Iterator[str]:
    word = "line" if path is None or path.suffix in own_rows.LINES else "row"
    for why, numbers in reasons.items():
        words = f"{word}{'s' if len(numbers) > 1 else ''} {listed(numbers, SHOWN)}"
        yield f"{why} ({len(numbers)}: {words})"
