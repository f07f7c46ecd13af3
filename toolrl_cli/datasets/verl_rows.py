"""The row formats that verl reads, and parquet files of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.errors import SpecError
from toolrl_cli.store.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
ABILITY = "tool_use"


def sft_row(system: str, user: str, answer: str) -> Row:
    """A row of verl's SFT trainer: `messages`, of which the last is the training target."""
    return {
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": user},
            {"role": "assistant", "content": answer},
        ]
    }


def rl_row(
    system: str, user: str, ground_truth: str, *, data_source: str, index: int, extra: Mapping[str, Any]
) -> Row:
    """A row of verl's RL trainer.

    Args:
        system: the system message.
        user: the user message: the dialogue so far.
        ground_truth: the gold assistant turn, which the reward reads.
        data_source: name of the task in verl's metrics.
        index: position in the file; verl groups the responses to one prompt by it.
        extra: more fields of `extra_info`; all rows of a file must have the same keys.
    """
    return {
        "data_source": data_source,
        "prompt": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        "ability": ABILITY,
        "reward_model": {"style": "rule", "ground_truth": ground_truth},
        "extra_info": {"index": index, **extra},
    }


def write_parquet(rows: Sequence[Row], path: Path) -> None:
    """Write rows to `path`, completely or not at all.

    Raises:
        SpecError: a column would have several types.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pa.Table.from_pylist(list(rows))
    except pa.ArrowInvalid as error:
        hint = "give every row the same type there"
        raise SpecError(f"values of one column are of several types: {error}", path.stem, hint) from None
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def read_parquet(path: Path) -> pa.Table:
    """The table in a file.

    Raises:
        SpecError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise SpecError(f"cannot be read as parquet: {error}", str(path)) from error


def parquet_count(path: Path) -> int:
    """How many rows a file has, by its end alone.

    Raises:
        SpecError: it is no parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as fault:
        raise SpecError(f"is no parquet file: {fault}", str(path)) from fault


def gold_as_answer(row: Row) -> Row:
    """An RL row as an SFT row, with its gold turn as the training target."""
    answer = {"role": "assistant", "content": row["reward_model"]["ground_truth"]}
    return {"messages": [*row["prompt"], answer]}


def parquet_rows(table: pa.Table, path: Path) -> list[Row]:
    """The rows of a table as plain values.

    Args:
        table: of somebody's own file, whose texts may not be what they say.
        path: the file, for the message.

    Raises:
        SpecError: the text of a row is not UTF-8.
    """
    try:
        return list(table.to_pylist())
    except UnicodeDecodeError:
        for position in range(table.num_rows):
            try:
                table.slice(position, 1).to_pylist()
            except UnicodeDecodeError as fault:
                told = f"row {position} is not UTF-8: {fault.reason} at byte {fault.start} of a text"
                raise SpecError(told, str(path), "correct the row") from None
        raise


def check_text(texts: Sequence[str], row: int, path: Path) -> None:
    """Refuse text that no file can hold: half of a surrogate pair, which JSON can write as an escape (`\\ud83d`).

    Raises:
        SpecError: naming file and row.
    """
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as fault:
        told = f"row {row} holds half a character ({fault.object[fault.start]!a}, a lone surrogate)"
        raise SpecError(told, str(path), "correct the row: an emoji was cut in two, say") from None
