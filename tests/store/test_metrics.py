from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolrl_cli.store import jsonl
from toolrl_cli.store.progress.metrics import (
    MetricsFollower,
    attempt_folders,
    counting_rows,
    last_rows,
    merge_metrics,
)


def attempt(stage: Path, n: int, *rows: tuple[int, dict[str, Any]], torn: str = "") -> Path:
    folder = stage / "attempts" / str(n)
    folder.mkdir(parents=True)
    lines = [json.dumps({"step": step, "data": data}) + "\n" for step, data in rows]
    (folder / "metrics.jsonl").write_text("".join(lines) + torn)
    return folder


def curve(stage: Path) -> list[tuple[int, dict[str, Any]]]:
    return [(row["step"], row["data"]) for row in merge_metrics(stage)]


def test_a_stage_without_attempts_has_no_metrics(tmp_path: Path) -> None:
    assert merge_metrics(tmp_path) == []


def test_a_resumed_training_gives_one_row_per_step_and_the_later_attempt_wins(tmp_path: Path) -> None:
    attempt(tmp_path, 1, (1, {"r": 0.1}), (2, {"r": 0.2}), (3, {"r": 0.3}))
    attempt(tmp_path, 2, (3, {"r": 0.33}), (4, {"r": 0.44}))
    assert curve(tmp_path) == [(1, {"r": 0.1}), (2, {"r": 0.2}), (3, {"r": 0.33}), (4, {"r": 0.44})]


def test_steps_of_a_model_that_is_gone_are_dropped(tmp_path: Path) -> None:
    attempt(tmp_path, 1, *((step, {"r": 1.0}) for step in range(1, 10)))
    attempt(tmp_path, 2, (5, {"r": 2.0}))
    assert [step for step, _ in curve(tmp_path)] == [1, 2, 3, 4, 5]


def test_an_attempt_that_reached_no_step_changes_nothing(tmp_path: Path) -> None:
    attempt(tmp_path, 1, (1, {"r": 0.1}), (2, {"r": 0.2}))
    attempt(tmp_path, 2)
    (tmp_path / "attempts" / "3").mkdir()
    assert [step for step, _ in curve(tmp_path)] == [1, 2]


def test_validation_before_a_resumed_step_is_laid_over_the_training_row(tmp_path: Path) -> None:
    attempt(tmp_path, 1, (2, {"loss": 0.5, "val": 0.1}), (3, {"loss": 0.4}))
    attempt(tmp_path, 2, (2, {"val": 0.2}), (3, {"loss": 0.3}))
    assert curve(tmp_path) == [(2, {"loss": 0.5, "val": 0.2}), (3, {"loss": 0.3})]


def test_a_row_counts_no_more_once_a_later_attempt_has_said_all_of_it(tmp_path: Path) -> None:
    attempt(tmp_path, 1, (2, {"loss": 0.5}), (2, {"val": 0.1}))
    attempt(tmp_path, 2, (2, {"val": 0.2}))
    assert [(row.attempt, row.data) for row in counting_rows(tmp_path)] == [
        (1, {"loss": 0.5}),
        (2, {"val": 0.2}),
    ]


def test_two_rows_of_one_step_become_one(tmp_path: Path) -> None:
    attempt(tmp_path, 1, (1, {"train/loss": 0.5}), (1, {"val/loss": 0.6}))
    assert curve(tmp_path) == [(1, {"train/loss": 0.5, "val/loss": 0.6})]


def test_the_tenth_attempt_is_later_than_the_ninth(tmp_path: Path) -> None:
    for n in (10, 9, 1):
        attempt(tmp_path, n, (1, {"n": n}))
    assert [folder.name for folder in attempt_folders(tmp_path)] == ["1", "9", "10"]
    assert curve(tmp_path) == [(1, {"n": 10})]


@pytest.mark.parametrize(
    "torn",
    [
        '{"step": 3, "da',
        "\x00\x00",
        '{"step": "3", "data": {}}\n',
        '{"step": 3}\n',
        "[]\n",
        '{"step": true, "data": {}}\n',
    ],
)
def test_a_line_that_is_torn_or_is_no_row_is_owed_work_and_not_a_crash(tmp_path: Path, torn: str) -> None:
    folder = attempt(tmp_path, 1, (1, {"r": 0.1}), (2, {"r": 0.2}), torn=torn)
    assert [step for step, _ in curve(tmp_path)] == [1, 2]
    assert [row["step"] for row in last_rows(folder / "metrics.jsonl", 1)] == [2]


def test_a_value_that_was_no_number_stays_none(tmp_path: Path) -> None:
    attempt(tmp_path, 1, (1, {"loss": None}))
    assert curve(tmp_path) == [(1, {"loss": None})]


def test_a_follower_gives_every_complete_row_once(tmp_path: Path) -> None:
    folder = attempt(tmp_path, 1)
    follower = MetricsFollower(folder)
    assert follower.new() == []
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1, "data": {}}\n{"step": 2, "da')
        file.flush()
        assert [row["step"] for row in follower.new()] == [1]
        assert follower.new() == []
        file.write('ta": {}}\n')
    assert [row["step"] for row in follower.new()] == [2]


def test_a_follower_starts_again_when_the_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    follower = jsonl.Follower(path)
    assert follower.new() == []
    path.write_text('{"a": 1}\n{"a": 2}\n')
    assert len(follower.new()) == 2
    path.write_text('{"a": 3}\n')
    assert follower.new() == [{"a": 3}]


def test_a_training_of_ten_thousand_steps_over_two_attempts_is_merged_to_one_row_a_step(
    tmp_path: Path,
) -> None:
    data = {f"metric/{number}": number / 7 for number in range(20)}
    attempt(tmp_path, 1, *((step, data) for step in range(1, 6000)))
    attempt(tmp_path, 2, *((step, data) for step in range(5000, 10_001)))
    assert [row["step"] for row in merge_metrics(tmp_path)] == list(range(1, 10_001))
