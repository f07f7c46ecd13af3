"""Rows of the user's own in verl's formats: parquet, or JSON lines of the same rows. docs/data.md has the format.

An RL row is `prompt` (messages), `reward_model.ground_truth` (the gold turn as text), `data_source`, and perhaps
`extra_info`. An SFT row is `messages`, of which the last is the assistant's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.datasets.verl_rows import ABILITY, Row, check_text, parquet_count, parquet_rows, read_parquet
from toolrl_cli.errors import SpecError
from toolrl_cli.rewards.reading import GIVEN

SOURCE = "own"
"""`data_source` of all rows as verl is given them, so that its metrics have one name; a row's own one is
`extra_info.data_source`, which rewards are given."""
ROLES = ("system", "user", "assistant", "tool")
LINES = (".jsonl", ".ndjson")
"""Endings of files of JSON lines."""
COLUMNS = ("id", "tools", "accepted", "interaction_kwargs", "tools_kwargs", "need_tools_kwargs")
"""Of `extra_info`, what is read by its name, by toolrl or by verl."""
RL_SPLITS = ("train", "val")
SPLITS = ("sft", *RL_SPLITS)


def fingerprint(files: Mapping[str, str], limit: Mapping[str, int]) -> str:
    """SHA-256 over the SHA-256 of the files of some splits and their limits.

    Args:
        files: split → path.
        limit: split → most rows.

    Raises:
        SpecError: a file cannot be read.
    """
    sums = {split: sha256_of(Path(path), split) for split, path in files.items()}
    told = {split: limit[split] for split in files if split in limit}
    return hashlib.sha256(json.dumps({"verl": sums, "limit": told}, sort_keys=True).encode()).hexdigest()


def load(files: Mapping[str, str], limit: Mapping[str, int]) -> dict[str, list[Row]]:
    """Split → rows as verl's trainers read them; arguments as `fingerprint`.

    Raises:
        SpecError: a file cannot be read or has no rows, or a row is none; it names file and row.
    """
    return {split: _rows(Path(path), split)[: limit.get(split)] for split, path in files.items()}


def count(path: Path) -> int:
    """How many rows a file has.

    Raises:
        SpecError: it cannot be read.
    """
    return parquet_count(path) if path.suffix == ".parquet" else len(read_rows(path))


def read_rows(path: Path) -> list[Row]:
    """The rows of a parquet file or of JSON lines as they stand there.

    Raises:
        SpecError: it cannot be read, or has none.
    """
    return [row for _, row in numbered_rows(path)]


def numbered_rows(path: Path) -> list[tuple[int, Row]]:
    """The rows of a file, with their lines from 1; of parquet, with their positions from 0.

    Raises:
        SpecError: as `read_rows`.
    """
    if path.suffix == ".parquet":
        rows = list(enumerate(parquet_rows(read_parquet(path), path)))
    elif path.suffix in LINES:
        rows = _read_lines(path)
    else:
        raise SpecError("ends in neither .parquet nor .jsonl", str(path), "name a file of rows")
    if not rows:
        raise SpecError("has no rows", str(path))
    return rows


def _read_lines(path: Path) -> list[tuple[int, Row]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot be read: {error}", str(path)) from error
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise SpecError(
                    f"is no JSON: {error}", f"{path}:{number}", "one JSON object a line"
                ) from None
            if not isinstance(row, dict):
                raise SpecError("is no JSON object", f"{path}:{number}", "one JSON object a line")
            rows.append((number, row))
    return rows


def _rows(path: Path, split: str) -> list[Row]:
    found = read_rows(path)
    if split == "sft":
        return [sft_row(row, position, path) for position, row in enumerate(found)]
    return [rl_row(row, position, path, split) for position, row in enumerate(found)]


def sft_row(row: Row, position: int, path: Path) -> Row:
    """A row of verl's SFT trainer; errors as `rl_row`."""
    told = messages(row.get("messages"), "messages", position, path)
    if told[-1]["role"] != "assistant":
        raise SpecError(
            f"row {position} does not end with the assistant's message", str(path), "correct the row"
        )
    return {"messages": told}


def rl_row(row: Row, position: int, path: Path, split: str) -> Row:
    """A row as verl's trainer reads it.

    Raises:
        SpecError: it is none; it names the position.
    """
    prompt = messages(row.get("prompt"), "prompt", position, path)
    model = row.get("reward_model")
    gold = model.get("ground_truth") if isinstance(model, Mapping) else None
    if not isinstance(gold, str):
        hint = "the gold turn as text; a list of calls as its JSON text"
        raise SpecError(f"row {position} has no text reward_model.ground_truth", str(path), hint)
    source = row.get("data_source")
    if not isinstance(source, str) or not source:
        raise SpecError(f"row {position} has no text data_source", str(path), "name where the row comes from")
    extra = row.get("extra_info") or {}
    if not isinstance(extra, Mapping):
        raise SpecError(f"row {position}: extra_info is no object", str(path))
    own = {str(key): value for key, value in extra.items() if key not in ("index", "split", "data_source")}
    for key in ("tools", "accepted"):  # of many shapes, which a column cannot hold
        if own.get(key) is not None and not isinstance(own[key], str):
            own[key] = json.dumps(own[key], ensure_ascii=False)
    own = _as_given(own)
    check_text((gold, source), position, path)
    identity = str(own.get("id") or f"{split}-{position:05d}")
    return {
        "data_source": SOURCE,
        "prompt": prompt,
        "ability": ABILITY,
        "reward_model": {"style": "rule", "ground_truth": gold},
        "extra_info": {**own, "index": position, "split": split, "id": identity, "data_source": source},
    }


def _as_given(own: Row) -> Row:
    """What a row has of its own, as one text: a column would give every row the keys, and the type, of all others."""
    kept = {key: value for key, value in own.items() if key in COLUMNS}
    rest = {key: value for key, value in own.items() if key not in COLUMNS}
    try:
        return {**kept, GIVEN: json.dumps(rest, ensure_ascii=False)}
    except (TypeError, ValueError):  # of a parquet file, whose column has one type: a date, say
        return own


def messages(raw: Any, column: str, position: int, path: Path) -> list[dict[str, str]]:
    """Messages of text, checked.

    Raises:
        SpecError: they are none; it names the row and the column.
    """
    where = f"row {position}: {column}"
    if not isinstance(raw, Sequence) or isinstance(raw, (str, bytes)) or not raw:
        raise SpecError(f"{where} is no list of messages", str(path), '[{"role": "user", "content": "…"}]')
    told = []
    for message in raw:
        role = message.get("role") if isinstance(message, Mapping) else None
        content = message.get("content") if isinstance(message, Mapping) else None
        if role not in ROLES or not isinstance(content, str):
            hint = f"role is one of {', '.join(ROLES)}, content is text"
            raise SpecError(f"{where} has a message without role or text", str(path), hint)
        lost = [
            key for key in message if key not in ("role", "content") and message[key] not in (None, [], "")
        ]
        if lost:
            hint = "write calls and results into the content, as the model has to see them"
            raise SpecError(f"{where} has a message with {lost[0]!r}, which would be lost", str(path), hint)
        check_text((content,), position, path)
        told.append({"role": role, "content": content})
    return told


def sha256_of(path: Path, split: str) -> str:
    """SHA-256 of a split's file.

    Raises:
        SpecError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SpecError(f"cannot be read: {error.strerror}", f"data.{split}: {path}") from None
