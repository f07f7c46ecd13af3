"""Data folders."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from toolrl_cli.datasets import folders, toolworld
from toolrl_cli.datasets.prepare import dataset_fingerprint, read_manifest, write_dataset
from toolrl_cli.errors import SpecError

SMALL = {"seed": 3, "sizes": {"base": 6, "sft": 5, "train": 4, "val": 3}}


def test_a_folder_holds_every_split_as_verl_reads_it_and_says_so(tmp_path: Path) -> None:
    manifest = write_dataset("toolworld", SMALL, tmp_path / "data")
    assert {split: entry.rows for split, entry in manifest.files.items()} == SMALL["sizes"]
    sft = pq.read_table(tmp_path / "data" / "sft.parquet").to_pylist()
    rows = toolworld.generate("sft", 3, 5)
    assert [row["messages"][2]["content"] for row in sft] == [row.answer for row in rows]
    rl = pq.read_table(tmp_path / "data" / "train.parquet").to_pylist()
    first = toolworld.generate("train", 3, 4)[0]
    assert rl[0]["prompt"] == [
        {"role": "system", "content": first.system},
        {"role": "user", "content": first.user},
    ]
    assert rl[0]["reward_model"] == {"style": "rule", "ground_truth": first.answer}
    assert [row["extra_info"]["index"] for row in rl] == [0, 1, 2, 3]


def test_a_folder_that_is_made_is_left_alone(tmp_path: Path) -> None:
    write_dataset("toolworld", SMALL, tmp_path / "data")
    before = (tmp_path / "data" / "base.parquet").stat().st_mtime_ns
    write_dataset("toolworld", SMALL, tmp_path / "data")
    assert (tmp_path / "data" / "base.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["truncate", "remove", "manifest"])
def test_a_damaged_folder_is_made_again(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "data"
    whole = write_dataset("toolworld", SMALL, folder)
    if damage == "truncate":
        (folder / "sft.parquet").write_bytes((folder / "sft.parquet").read_bytes()[:-7])
    elif damage == "remove":
        (folder / "val.parquet").unlink()
    else:
        (folder / "manifest.json").write_text('{"kind": "toolw')
    assert write_dataset("toolworld", SMALL, folder) == whole
    assert pq.read_table(folder / "sft.parquet").num_rows == 5
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_other_parameters_replace_the_folder(tmp_path: Path) -> None:
    write_dataset("toolworld", SMALL, tmp_path / "data")
    manifest = write_dataset("toolworld", {**SMALL, "seed": 4}, tmp_path / "data")
    assert read_manifest(tmp_path / "data") == manifest
    assert manifest.fingerprint == dataset_fingerprint("toolworld", {**SMALL, "seed": 4})


def test_the_fingerprint_is_known_without_writing_and_defaults_count_as_given() -> None:
    assert dataset_fingerprint("toolworld", {}) == dataset_fingerprint("toolworld", {"seed": 0, "sizes": {}})
    assert dataset_fingerprint("toolworld", {}) != dataset_fingerprint("toolworld", {"sizes": {"val": 9}})


def test_failing_half_way_leaves_nothing(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        folders.build_folder(tmp_path / "data", fill, lambda folder: False)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_make_the_same_folder_at_once_all_find_it_whole(tmp_path: Path) -> None:
    together = threading.Barrier(4)
    faults: list[BaseException] = []

    def fill(folder: Path) -> None:
        (folder / "file").write_text("whole")
        together.wait()

    def work() -> None:
        try:
            folders.build_folder(tmp_path / "data", fill, lambda folder: (folder / "file").is_file())
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert (tmp_path / "data" / "file").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("kind", "params", "says"),
    [
        ("toolword", {}, "unknown dataset 'toolword'"),
        ("toolworld", {"sede": 1}, "unknown parameter 'sede'"),
        ("toolworld", {"sizes": {"dev": 1}}, "unknown split 'dev'"),
        ("rlla", {}, "has no path"),
        ("rlla", {"path": "x", "limit": {"base": 1}}, "unknown split 'base'"),
    ],
)
def test_what_cannot_be_made_is_told_in_one_line(
    tmp_path: Path, kind: str, params: dict[str, object], says: str
) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        write_dataset(kind, params, tmp_path / "data")
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_a_manifest_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    manifest = write_dataset("toolworld", SMALL, tmp_path / "data")
    assert read_manifest(tmp_path / "data") == manifest
    stored = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert stored["schema"] == 1 and set(stored["files"]["sft"]) == {"rows", "sha256"}
    assert read_manifest(tmp_path / "nowhere") is None
