"""Reads files of runs as flat records: CSV, JSON and JSON lines, as people and W&B write them.

W&B exports a CSV from its table of runs, and its documentation shows an export through its API: `name`, `config` and
`summary` of each run, as JSON or as a CSV whose cells are Python dictionaries. Nested fields become dotted keys,
without the first word for those of `config` and `summary`.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError

NESTED = ("config", "summary")
MAX_BYTES = 200_000_000
_NOT_FINITE = re.compile(r"(?<=[\s:\[,(])-?(?:nan|inf)(?=[\s,}\])])")
"""Names that Python prints for numbers and cannot parse."""


@dataclass(frozen=True)
class Record:
    """One run's fields; `number` and `where` identify the record in its file."""

    fields: Mapping[str, Any]
    number: int
    where: str


def read_records(path: Path) -> tuple[list[Record], list[SpecError]]:
    """All records of a file, and the faults of invalid ones; the suffix decides the format.

    `.json` and `.jsonl` are JSON, all else is CSV.

    Raises:
        SpecError: the file cannot be read, has another format, or is empty.
    """
    faults: list[SpecError] = []
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError("is no table of runs: too large", str(path), "one record a run")
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
            records = list(_from_json(text, path, faults))
        else:
            records = list(_from_csv(text, path, faults))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = (
            "no UTF-8 text"
            if isinstance(error, UnicodeDecodeError)
            else getattr(error, "strerror", None) or error
        )
        raise SpecError(
            f"cannot be read ({why})", str(path), "give a CSV or JSON file with one run a line"
        ) from None
    if not records and not faults:
        raise SpecError("holds no runs", str(path), "one run a line below the header")
    return records, faults


def _from_csv(text: str, path: Path, faults: list[SpecError]) -> Iterator[Record]:
    csv.field_size_limit(MAX_BYTES)  # a whole summary in one cell exceeds the csv module's limit
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    header = reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
    if not any(name in ("arm", "Name", "name") for name in header):
        if any(name.endswith(("__MIN", "__MAX")) for name in header):
            hint = "export the table of runs (in W&B: Runs, Export, CSV), or the runs' summaries by its API"
            raise SpecError(
                "is the export of a chart: points of curves, and no scores of runs", str(path), hint
            )
        other = next((s for s in ";\t" if len(header) == 1 and s in header[0]), None)
        hint = "for example: arm,seed,model,toolworld/overall"
        hint = f"separate fields by commas, not by {other!r}" if other else hint
        raise SpecError("has no field 'arm' (or 'Name')", str(path), hint)
    twins = [name for name, count in Counter(header).items() if count > 1]
    if twins:
        raise SpecError(f"has {twins[0]!r} twice", f"{path}:1", "rename or remove one of the two columns")
    for row in reader:
        where = f"{path}:{reader.line_num}"
        if None in row or None in row.values():
            told = "has not as many fields as the header"
            faults.append(SpecError(told, where, "quote fields that hold commas"))
            continue
        opened = _opened({name: cell.strip() for name, cell in row.items()}, where, faults)
        if opened is not None:
            yield Record(_flat(opened), reader.line_num, where)


def _from_json(text: str, path: Path, faults: list[SpecError]) -> Iterator[Record]:
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
            example = 'for example {"arm": "grpo", "seed": 1, "toolworld/overall": 0.5}'
            faults.append(SpecError("is no run", where, example))
            continue
        opened = _opened({str(key): value for key, value in row.items()}, where, faults)
        if opened is not None:
            yield Record(_flat(opened), number, where)


def _opened(row: Mapping[str, Any], where: str, faults: list[SpecError]) -> dict[str, Any] | None:
    """A row whose `config` and `summary` are parsed if they are text; None if they cannot be parsed."""
    opened = dict(row)
    for key in NESTED:
        if isinstance(opened.get(key), str):
            opened[key] = _dictionary(opened[key])
            if opened[key] is None:
                faults.append(
                    SpecError(f"{key} is no dictionary", where, "export it as W&B's documentation shows")
                )
                return None
    return opened


def _dictionary(value: str) -> Mapping[str, Any] | None:
    """A mapping written as JSON or as Python prints it, or None."""
    for read in (json.loads, ast.literal_eval):
        try:
            opened = read(value if read is json.loads else _NOT_FINITE.sub("None", value))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(opened, Mapping):
            return opened
    return None


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
