"""Files of runs as flat records: CSV, JSON and JSON lines, as people and W&B write them.

W&B gives a CSV from its table of runs, and through its API what its documentation shows: `name`, `config` and `summary`
of each run, written as JSON or as a CSV whose cells hold Python dictionaries. Nested fields become dotted keys; those
of `config` and `summary` lose that first word.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError

NESTED = ("config", "summary")
MAX_BYTES = 200_000_000
_NOT_FINITE = re.compile(r"(?<=[\s:\[,(])-?(?:nan|inf)(?=[\s,}\])])")
"""Numbers that Python prints and cannot read."""


@dataclass(frozen=True)
class Record:
    """One run's fields; `number` and `where` say which record of the file it is."""

    fields: Mapping[str, Any]
    number: int
    where: str


def read_records(path: Path) -> list[Record]:
    """All records of a file; its suffix says the form (`.json`, `.jsonl`, else CSV).

    Raises:
        SpecError: the file cannot be read, holds something else, or nothing.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError("is no table of runs: too large", str(path), "one record a run")
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
            records = list(_from_json(text, path))
        else:
            records = list(_from_csv(text, path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        what = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise SpecError(what, str(path), "give a CSV or JSON file with one run a line") from None
    if not records:
        raise SpecError("holds no runs", str(path), "one run a line below the header")
    return records


def _from_csv(text: str, path: Path) -> Iterator[Record]:
    csv.field_size_limit(MAX_BYTES)  # a whole summary in one cell is longer than the module's own limit
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header = [name for name in reader.fieldnames or () if name is not None]
    if not any(name in ("arm", "Name", "name") for name in header):
        raise SpecError(
            "has no field 'arm' (or 'Name')", str(path), "for example: arm,seed,model,toolworld/overall"
        )
    for row in reader:
        where = f"{path}:{reader.line_num}"
        if None in row or None in row.values():
            raise SpecError("has not as many fields as the header", where, "quote fields that hold commas")
        yield Record(_flat({k: _opened(k, v, where) for k, v in row.items()}), reader.line_num, where)


def _from_json(text: str, path: Path) -> Iterator[Record]:
    try:
        whole = json.loads(text)
    except ValueError as error:
        try:
            whole = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise SpecError(
                f"is not JSON ({error})", str(path), "give a list of runs, or one run a line"
            ) from None
    except RecursionError:
        raise SpecError("is nested too deeply", str(path), "give a list of runs") from None
    if isinstance(whole, Mapping):
        whole = whole.get("runs", [whole])
    if not isinstance(whole, list):
        raise SpecError("is no list of runs", str(path), "give a list of runs, or one run a line")
    for number, row in enumerate(whole, start=1):
        where = f"{path}: run {number}"
        if not isinstance(row, Mapping):
            raise SpecError(
                "is no run", where, 'for example {"arm": "grpo", "seed": 1, "toolworld/overall": 0.5}'
            )
        yield Record(_flat({str(k): _opened(str(k), v, where) for k, v in row.items()}), number, where)


def _opened(key: str, value: Any, where: str) -> Any:
    """A cell that holds a whole `config` or `summary` as text, as the mapping it is."""
    if key not in NESTED or not isinstance(value, str):
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            opened = read(value if read is json.loads else _NOT_FINITE.sub("None", value))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(opened, Mapping):
            return opened
    raise SpecError(f"{key} is no dictionary", where, "export it as W&B's documentation shows")


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, f"{path}.{key}" if path else str(key))
        else:
            flat[path] = value

    for key in NESTED:
        walk(row.get(key) or {}, "")
    for key, value in row.items():
        if key not in NESTED:
            walk(value, key)
    for theirs, ours in (("name", "Name"), ("state", "State")):  # as W&B's API has them
        if theirs in flat and ours not in flat:
            flat[ours] = flat.pop(theirs)
    return flat
