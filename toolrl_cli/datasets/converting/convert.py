"""Converts a file of a common set into the files of data kind `verl`, and counts what it refuses."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from toolrl_cli.datasets.converting.readers import FIELDS, READERS
from toolrl_cli.datasets.converting.turns import Refused, Turn
from toolrl_cli.datasets.own_rows import read_rows
from toolrl_cli.datasets.verl_rows import Row, check_text, write_parquet
from toolrl_cli.errors import SpecError
from toolrl_cli.store.files import make_folder


class Taken(NamedTuple):
    """What became of rows, by their numbers.

    Attributes:
        rows: number → the rows that are made of it.
        refused: why → numbers of rows of which none is made.
        lost: what is in none of the rows that are made → numbers.
    """

    rows: dict[int, list[Row]]
    refused: dict[str, list[int]]
    lost: dict[str, list[int]]


def take(
    numbered: Iterable[tuple[int, Row]],
    rows_of: Callable[[int, Row], Iterable[tuple[Turn, Row]]],
    source: Path,
    most: int | None = None,
) -> Taken:
    """Make rows of rows; one that cannot be taken is counted and stops no other.

    Args:
        numbered: (number, row).
        rows_of: number and row → each turn with the row of it.
        source: the file, for messages.
        most: rows that are enough.
    """
    taken, made = Taken({}, {}, {}), 0
    for number, row in numbered:
        try:
            found = []
            for turn, each in rows_of(number, row):
                check_text([turn.gold()], number, source)
                found.append((turn, each))
        except (Refused, SpecError, RecursionError) as fault:
            taken.refused.setdefault(_why(fault), []).append(number)
            continue
        for lost in dict.fromkeys(each for turn, _ in found for each in turn.lost):
            taken.lost.setdefault(lost, []).append(number)
        taken.rows[number] = [each for _, each in found]
        made += len(found)
        if most is not None and made >= most:
            break
    return taken


def _why(fault: Exception) -> str:
    if isinstance(fault, RecursionError):
        return "nested too deep"
    return re.sub(r"^row \d+:? ", "", fault.what if isinstance(fault, SpecError) else str(fault))


@dataclass(frozen=True)
class Converted:
    """What became of a file.

    Attributes:
        files: split → the file that was written.
        rows: split → rows in it.
        read: rows of the source.
        refused: why → positions of the source's rows, from 0.
        calls, texts: how many gold turns call, and how many answer in words.
    """

    files: Mapping[str, Path]
    rows: Mapping[str, int]
    read: int
    refused: Mapping[str, tuple[int, ...]]
    calls: int
    texts: int


def convert(
    form: str,
    source: Path,
    out: Path,
    *,
    fields: Mapping[str, str] | None = None,
    val_share: float = 0.1,
    seed: int = 0,
    limit: int | None = None,
) -> Converted:
    """Write `train.parquet`, `val.parquet` (RL rows) and `sft.parquet` (the train rows with their gold turns).

    All turns of one source row go to the same split.

    Args:
        form: `xlam`, `hermes` or `toolace`.
        source: .parquet, .jsonl, or .json with a list of rows.
        out: the folder; files of these names in it are replaced.
        fields: of `xlam`: `query`, `calls` and `tools` → the names of the fields that have them.
        val_share: share of the source's rows for validation, at least one.
        seed: draws these.
        limit: most rows of the source.

    Raises:
        SpecError: the file cannot be read, or no row, or only one, can be converted.
    """
    found = _source_rows(source)[:limit]
    named = {**FIELDS, **(fields or {})}

    def rows_of(position: int, row: Row) -> Iterator[tuple[Turn, Row]]:
        for number, turn in enumerate(READERS[form](row, named)):
            turn.check()
            yield turn, turn.row(form, f"{position:06d}-{number}")

    turns, refused, _ = take(enumerate(found), rows_of, source)
    if len(turns) < 2:
        reasons = "; ".join(f"{why} ({len(rows)} rows)" for why, rows in refused.items())
        raise SpecError(
            f"{len(turns)} of {len(found)} rows can be converted: {reasons}", str(source), f"is it {form}?"
        )
    held = max(1, min(len(turns) - 1, round(val_share * len(turns))))
    val = set(random.Random(f"val-{seed}").sample(sorted(turns), held))
    splits = {
        "train": [row for position, rows in turns.items() if position not in val for row in rows],
        "val": [row for position, rows in turns.items() if position in val for row in rows],
    }
    splits["sft"] = [
        {"messages": [*row["prompt"], {"role": "assistant", "content": row["reward_model"]["ground_truth"]}]}
        for row in splits["train"]
    ]
    make_folder(out)
    files = {split: out / f"{split}.parquet" for split in splits}
    for split, rows in splits.items():
        write_parquet(rows, files[split])
    golds = [row["reward_model"]["ground_truth"] for split in ("train", "val") for row in splits[split]]
    calling = sum("<tool_call>" in gold for gold in golds)
    return Converted(
        files,
        {split: len(rows) for split, rows in splits.items()},
        len(found),
        {why: tuple(rows) for why, rows in refused.items()},
        calling,
        len(golds) - calling,
    )


def _source_rows(source: Path) -> list[dict[str, Any]]:
    if source.suffix != ".json":
        return read_rows(source)
    try:
        rows = json.loads(source.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError(f"cannot be read as JSON: {error}", str(source)) from None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise SpecError("is no list of JSON objects", str(source))
    return rows
