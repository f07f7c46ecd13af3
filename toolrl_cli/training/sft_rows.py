"""The files an SFT stage reads: a split as it lies in the data folder, or rows made from it where that is not enough.

The `train` split is in the format of RL, whose gold turns become the answers to learn (the paper's SFT4k), and a
share of any split can be kept back for the validation loss.
"""

from __future__ import annotations

import random
from pathlib import Path

from toolrl_cli.datasets.verl_rows import Row, sft_row, write_parquet
from toolrl_cli.errors import StageError

FOLDER = "rows"


def sft_files(
    source: Path, val_share: float, seed: int, batch_size: int, target: Path
) -> tuple[Path, Path | None]:
    """The parquet files to train and to validate on.

    Args:
        source: `<split>.parquet` of the data folder, in either of verl's row formats.
        val_share: share of the rows kept back, in [0, 1).
        seed: decides which rows these are.
        batch_size: sequences a step; verl validates on whole batches only.
        target: folder for files that have to be made; equal arguments make equal files.

    Returns:
        The training rows, and those kept back; None where they fill no batch (they are not trained on all the
        same) or where there are none.

    Raises:
        StageError: the rows left cannot fill one batch.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(source)
    learnable = "messages" in table.column_names
    if learnable and not val_share:
        return source, None
    found = table.to_pylist()
    rows = found if learnable else [_from_rl(row) for row in found]
    kept_back = set(random.Random(f"validation-{seed}").sample(range(len(rows)), int(val_share * len(rows))))
    train = [row for position, row in enumerate(rows) if position not in kept_back]
    if len(train) < batch_size:
        raise StageError(
            f"{len(train)} rows are left to train on, and a step takes {batch_size}",
            str(source),
            "lower sft.val_share or sft.batch_size",
            failure_class="config",
        )
    target.mkdir(parents=True, exist_ok=True)
    write_parquet(train, target / "train.parquet")
    if len(kept_back) < batch_size:
        return target / "train.parquet", None
    write_parquet([rows[position] for position in sorted(kept_back)], target / "val.parquet")
    return target / "train.parquet", target / "val.parquet"


def _from_rl(row: Row) -> Row:
    """A row of RL as one of SFT: its gold turn is what is learned."""
    system, user = (message["content"] for message in row["prompt"])
    return sft_row(system, user, row["reward_model"]["ground_truth"])
