"""The files that an SFT stage reads: a split of the data folder, or files derived from it.

The `train` split has the format of RL, and its gold turns become the training targets (the paper's SFT4k). A share
of any split can be held out for the validation loss.

verl 0.9.1's SFT trainer reads no seed: its sampler draws the order of each epoch from a generator with torch's seed 0.
So the rows are written in an order that the seed draws, or every seed would be the same training.
"""

from __future__ import annotations

import random
from pathlib import Path

from toolrl_cli.datasets.verl_rows import gold_as_answer, write_parquet
from toolrl_cli.errors import StageError

FOLDER = "rows"


def sft_files(
    source: Path, val_share: float, seed: int, batch_size: int, target: Path, *, shuffle: bool = True
) -> tuple[Path, Path | None]:
    """The parquet files for training and validation.

    Args:
        source: `<split>.parquet` of the data folder, in either of verl's row formats.
        val_share: share of the rows to hold out, in [0, 1).
        seed: decides which rows are held out, and the order of the others.
        batch_size: sequences a step; verl validates on whole batches only.
        target: folder for derived files; equal arguments give equal files.
        shuffle: whether the rows to train on are put in an order that the seed draws.

    Returns:
        The training rows and the held-out rows. The latter is None if there are none, or if they do not fill a batch
        (then they are not trained on either).

    Raises:
        StageError: the training rows do not fill one batch.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(source)
    learnable = "messages" in table.column_names
    if learnable and not val_share and not shuffle:
        return source, None
    found = table.to_pylist()
    rows = found if learnable else [gold_as_answer(row) for row in found]
    kept_back = set(random.Random(f"validation-{seed}").sample(range(len(rows)), int(val_share * len(rows))))
    train = [row for position, row in enumerate(rows) if position not in kept_back]
    if shuffle:
        random.Random(f"order-{seed}").shuffle(train)
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
