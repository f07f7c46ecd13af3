"""The row formats that verl reads, and parquet files of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.store.files import replacing

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
    """Write rows to `path`, completely or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows)), temporary)
