"""The rows an SFT stage reads."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from torch.utils.data import DistributedSampler

from tests.support.configs import rl_config
from toolrl_cli.datasets.verl_rows import rl_row, sft_row, write_parquet
from toolrl_cli.errors import StageError
from toolrl_cli.training.inputs import data_folder
from toolrl_cli.training.sft_rows import sft_files


@pytest.fixture
def sft_split(tmp_path: Path) -> Path:
    write_parquet([sft_row("s", f"u{n}", f"a{n}") for n in range(100)], tmp_path / "sft.parquet")
    return tmp_path / "sft.parquet"


def answers(path: Path | None) -> list[str]:
    assert path is not None
    return [row["messages"][-1]["content"] for row in pq.read_table(path).to_pylist()]


def test_a_split_in_its_own_order_is_read_where_it_lies_when_nothing_is_kept_back(
    sft_split: Path, tmp_path: Path
) -> None:
    assert sft_files(sft_split, 0.0, 1, 8, tmp_path / "rows", shuffle=False) == (sft_split, None)
    assert not (tmp_path / "rows").exists()


def test_another_seed_trains_in_another_order_and_the_same_in_the_same(
    sft_split: Path, tmp_path: Path
) -> None:
    def order(seed: int, folder: str) -> list[str]:
        """As verl's SFT trainer hands the rows out: its sampler takes no seed."""
        train, _ = sft_files(sft_split, 0.0, seed, 8, tmp_path / folder)
        rows = answers(train)
        sampler: DistributedSampler[str] = DistributedSampler(
            rows,  # type: ignore[arg-type]
            num_replicas=1,
            rank=0,
            shuffle=True,
            drop_last=True,
        )
        return [rows[position] for position in sampler]

    one, again, two = order(1, "one"), order(1, "again"), order(2, "two")
    assert one == again != two
    assert sorted(one) == sorted(two) == sorted(answers(sft_split))


def test_the_rows_of_rl_are_learned_with_their_gold_turns_as_answers(tmp_path: Path) -> None:
    rows = [rl_row("s", f"u{n}", f"gold{n}", data_source="x", index=n, extra={}) for n in range(10)]
    write_parquet(rows, tmp_path / "train.parquet")
    train, val = sft_files(tmp_path / "train.parquet", 0.0, 1, 8, tmp_path / "rows", shuffle=False)
    assert val is None
    first = pq.read_table(train).to_pylist()[0]
    assert first["messages"] == sft_row("s", "u0", "gold0")["messages"]
    assert answers(train) == [f"gold{n}" for n in range(10)]


def test_a_share_is_kept_back_for_validation_by_the_seed(sft_split: Path, tmp_path: Path) -> None:
    train, val = sft_files(sft_split, 0.2, 1, 8, tmp_path / "one")
    assert len(answers(train)) == 80 and len(answers(val)) == 20
    assert sorted(answers(train) + answers(val)) == sorted(answers(sft_split))
    again = sft_files(sft_split, 0.2, 1, 8, tmp_path / "two")
    assert (answers(again[0]), answers(again[1])) == (answers(train), answers(val))
    other = sft_files(sft_split, 0.2, 2, 8, tmp_path / "three")
    assert answers(other[1]) != answers(val)


def test_rows_that_fill_no_batch_are_kept_back_without_validating_on_them(
    sft_split: Path, tmp_path: Path
) -> None:
    train, val = sft_files(sft_split, 0.05, 1, 8, tmp_path / "rows")
    assert len(answers(train)) == 95 and val is None


def test_too_few_rows_for_a_step_are_refused(sft_split: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="80 rows are left to train on, and a step takes 96") as caught:
        sft_files(sft_split, 0.2, 1, 96, tmp_path / "rows")
    assert caught.value.failure_class == "config"


def test_a_split_with_fewer_rows_than_there_must_be_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "rlla"
    folder.mkdir()
    row = {"instruction": "s", "input": "u", "output": "a"}
    (folder / "rlla_sft.json").write_text(json.dumps([row] * 3))
    held_out = rl_row("s", "u", "gold", data_source="rlla", index=0, extra={})
    write_parquet([held_out], folder / "test.parquet")
    data = {"kind": "rlla", "path": str(folder), "limit": {}, "at_least": {"sft": 10_000}}
    with pytest.raises(StageError, match="sft has 3 rows and is to have 10000") as caught:
        data_folder(rl_config(data=data), tmp_path)
    assert caught.value.failure_class == "config"
