"""The released ToolRL data (rlla) in verl's row formats.

Reads a folder with `rlla_sft.json` (SFT rows: instruction, input, output) and the RL rows: `train.parquet` or
`rlla_4k_train.parquet`, or `rlla_rl.json`, and the held-out `test.parquet` or `rlla_4k_test.parquet`.
`toolrl_cli.datasets.released` fetches these files. SFT rows of the user's own are one more file of the first form.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolrl_cli.datasets.repeats import Triple
from toolrl_cli.datasets.verl_rows import (
    Row,
    check_text,
    parquet_count,
    parquet_rows,
    read_parquet,
    rl_row,
    sft_row,
)
from toolrl_cli.errors import SpecError

SPLITS = ("sft", "train", "val")
OWN_SPLIT = "sft4k"
"""Of SFT rows of the user's own, where there are such."""
SFT_FILE = "rlla_sft.json"
RL_JSON_FILE = "rlla_rl.json"
TRAIN_FILES = ("rlla_4k_train.parquet", "train.parquet")
TEST_FILES = ("rlla_4k_test.parquet", "test.parquet")
OWN_SFT4K = "SFT4k was never released: name a file of your own with data.sft4k, or learn the RL rows: sft.split: train"
NOTE_SAME_ROWS = "no RL training rows in the folder: the held-out rows serve as train and as val"


def fingerprint(folder: Path, limit: Mapping[str, int] | None = None, sft4k: Path | None = None) -> str:
    """SHA-256 over the SHA-256 of every file read and the limits.

    Raises:
        SpecError: the folder lacks a file.
    """
    sums = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files(folder)
        if path is not None
    }
    if sft4k is not None:
        sums["sft4k"] = sft4k_fingerprint(sft4k)
    text = json.dumps({"rlla": sums, "limit": dict(limit or {})}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def sft4k_fingerprint(file: Path, limit: int | None = None) -> str:
    """SHA-256 over a file of SFT rows and how many are taken of it.

    Raises:
        SpecError: it cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror}", str(file), OWN_SFT4K) from None
    return hashlib.sha256(content + (b"" if limit is None else b"\n%d" % limit)).hexdigest()


def own_file(params: Mapping[str, Any]) -> Path | None:
    """The file of SFT rows of the user's own that the parameters of a data folder name."""
    return Path(params["sft4k"]) if params.get("sft4k") else None


def most_train_rows(folder: Path) -> tuple[int, tuple[str, ...]]:
    """The highest number of RL training rows that a folder can have, without reading them, and notes on them.

    Raises:
        SpecError: the folder lacks a file.
    """
    _, train, test = _files(folder)
    if train is not None and train.suffix == ".json":
        return len(read_json_rows(train)), ()
    return parquet_count(train or test), () if train else (NOTE_SAME_ROWS,)


def load(
    folder: Path, limit: Mapping[str, int] | None = None, sft4k: Path | None = None
) -> tuple[dict[str, list[Row]], tuple[str, ...]]:
    """Rows by split, and notes on them; arguments and errors as `load_triples`."""
    splits, notes = load_triples(folder, limit, sft4k)
    return {
        split: _rl_rows(rows, split) if split in ("train", "val") else [sft_row(*row) for row in rows]
        for split, rows in splits.items()
    }, notes


def load_triples(
    folder: Path, limit: Mapping[str, int] | None = None, sft4k: Path | None = None
) -> tuple[dict[str, list[Triple]], tuple[str, ...]]:
    """(system, user, answer) of each row by split, and notes on them.

    Args:
        folder: with the released files.
        limit: split → number of rows to take from its start, at most.
        sft4k: a file of SFT rows of the user's own.

    Returns:
        Split (`sft`, `train`, `val`, and `sft4k` where there is that file) → rows, and notes for people.

    Raises:
        SpecError: a file is missing, unreadable, empty, or lacks a column.
    """
    sft, train, test = _files(folder)
    held_out = _rl_parquet(test)
    notes: tuple[str, ...] = ()
    if train is None:
        rl, notes = held_out, (NOTE_SAME_ROWS,)
    elif train.suffix == ".json":
        prompts = {(system, user) for system, user, _ in held_out}
        rl = [triple for triple in read_json_rows(train) if triple[:2] not in prompts]
    else:
        rl = _rl_parquet(train)
    most = limit or {}
    splits = {"sft": read_json_rows(sft), "train": rl, "val": held_out}
    if sft4k is not None:
        splits[OWN_SPLIT] = read_json_rows(sft4k)
    return {split: rows[: most.get(split)] for split, rows in splits.items()}, notes


def _files(folder: Path) -> tuple[Path, Path | None, Path]:
    if not folder.is_dir():
        raise SpecError(
            f"{str(folder)!r} is not a folder",
            where="data.path",
            hint="toolrl data prepare rlla downloads it",
        )
    sft = folder / SFT_FILE
    if not sft.is_file():
        raise SpecError(
            f"no {SFT_FILE} in the folder", where=str(folder), hint="see toolrl data prepare rlla"
        )
    train = next((folder / name for name in (*TRAIN_FILES, RL_JSON_FILE) if (folder / name).is_file()), None)
    test = next((folder / name for name in TEST_FILES if (folder / name).is_file()), None)
    if test is None:
        raise SpecError(f"no {' or '.join(TEST_FILES)} in the folder", where=str(folder))
    return sft, train, test


def read_json_rows(path: Path) -> list[Triple]:
    """(system, user, answer) of each row of a file in the form of `rlla_sft.json`.

    Raises:
        SpecError: it cannot be read, is empty, or lacks a field.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a BOM
    except (OSError, ValueError, RecursionError) as error:
        raise SpecError(f"cannot be read as JSON: {error}", where=str(path)) from error
    if not isinstance(data, list) or not data:
        raise SpecError("is not a non-empty JSON list", where=str(path))
    triples: list[Triple] = []
    for index, row in enumerate(data):
        match row:
            case {"instruction": str(system), "input": str(user), "output": str(answer)}:
                check_text((system, user, answer), index, path)
                triples.append((system, user, answer))
            case _:
                raise SpecError(
                    f"row {index} lacks a text field instruction, input or output", where=str(path)
                )
    return triples


def _rl_parquet(path: Path) -> list[Triple]:
    table = read_parquet(path)
    missing = [name for name in ("prompt", "reward_model") if name not in table.column_names]
    if missing:
        raise SpecError(f"has no column {' and no column '.join(missing)}", where=str(path))
    if table.num_rows == 0:
        raise SpecError("has no rows", where=str(path))
    return [_rl_triple(row, index, path) for index, row in enumerate(parquet_rows(table, path))]


def _rl_triple(row: dict[str, Any], index: int, path: Path) -> Triple:
    match row:
        case {
            "prompt": [
                {"role": "system", "content": str(system)},
                {"role": "user", "content": str(user)},
            ],
            "reward_model": {"ground_truth": str(answer)},
        }:
            return system, user, answer
    raise SpecError(
        f"row {index} is not an rlla row",
        where=str(path),
        hint="prompt must be a system and a user message, reward_model must hold ground_truth",
    )


def _rl_rows(triples: list[Triple], split: str) -> list[Row]:
    return [
        rl_row(
            *triple,
            data_source="rlla",
            index=index,
            extra={"split": split, "id": f"rlla-{split}-{index:04d}"},
        )
        for index, triple in enumerate(triples)
    ]
