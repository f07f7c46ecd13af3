"""`scores.json` and `items.jsonl` as they are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolrl_cli.store.scores import ITEMS, read_scores, write_scores

ROWS = [
    {"id": 'a"b', "category": "x", "correct": True, "output": '"correct": false'},
    {"id": "b", "category": "x", "correct": False},
    {"id": "c", "category": "y", "correct": True},
]
METRICS = {
    "x": {"value": 0.5, "correct": 1, "total": 2},
    "y": {"value": 1.0, "correct": 1, "total": 1},
    "overall": {"value": 2 / 3, "correct": 2, "total": 3},
}
SCORES = {"benchmark": "b", "items": 3, "metrics": METRICS, "cut": {"x": {"cut": 1, "total": 2}, "y": 3}}


def test_scores_that_agree_with_their_items_are_read_with_what_was_cut(tmp_path: Path) -> None:
    write_scores(tmp_path, SCORES, ROWS)
    found = read_scores(tmp_path / "scores.json", "b")
    assert (found.problem, found.cut) == ("", {"x": (1, 2)})
    write_scores(tmp_path, {"benchmark": "b", "metrics": METRICS}, ())
    assert read_scores(tmp_path / "scores.json", "b").problem == ""
    (tmp_path / ITEMS).unlink()
    assert read_scores(tmp_path / "scores.json", "b").problem == ""


def test_a_category_may_be_called_as_the_whole_of_other_benchmarks_is(tmp_path: Path) -> None:
    rows = [{**row, "category": "accuracy" if row["category"] == "x" else "y"} for row in ROWS]
    metrics = {"accuracy" if name == "x" else name: entry for name, entry in METRICS.items()}
    write_scores(tmp_path, {**SCORES, "metrics": metrics}, rows)
    assert read_scores(tmp_path / "scores.json", "b").problem == ""


@pytest.mark.parametrize(
    ("row", "change", "told"),
    [
        (1, {"correct": True}, "scores.json has 1 of 2 right in x, and items.jsonl 2 of 2"),
        (2, {"correct": None}, "1 of 1 right in y, and items.jsonl 0 of 1"),
        (2, {"category": "x"}, "in x, and items.jsonl 2 of 3"),
    ],
)
def test_scores_that_their_items_contradict_cannot_be_used(
    tmp_path: Path, row: int, change: dict[str, object], told: str
) -> None:
    rows = [{**r, **(change if n == row else {})} for n, r in enumerate(ROWS)]
    write_scores(tmp_path, SCORES, rows)
    assert told in read_scores(tmp_path / "scores.json", "b").problem


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "scores.json is of 3 items, and items.jsonl has 0"),
        (
            json.dumps(ROWS[0]) + '\n{"id": "b", "cat',
            "items.jsonl has a line that is torn or no item: line 2",
        ),
        (json.dumps(ROWS[0]) + "\n[]\n", "items.jsonl has a line that is torn or no item: line 2"),
        ((json.dumps(ROWS[1]) + "\n") * 3, 'items.jsonl has the item "b" twice, in line 2'),
    ],
)
def test_items_that_are_torn_or_stand_twice_cannot_be_used(tmp_path: Path, text: str, told: str) -> None:
    write_scores(tmp_path, SCORES, ROWS)
    (tmp_path / ITEMS).write_text(text)
    assert read_scores(tmp_path / "scores.json", "b").problem == told


def test_scores_of_an_earlier_version_are_held_against_their_items_too(tmp_path: Path) -> None:
    metrics = {**METRICS, "overall": {"value": 0.9, "correct": 9, "total": 10}}
    write_scores(tmp_path, {"benchmark": "b", "metrics": metrics}, ROWS)
    told = "scores.json has 9 of 10 right in overall, and items.jsonl 2 of 3"
    assert read_scores(tmp_path / "scores.json", "b").problem == told


@pytest.mark.parametrize(
    ("value", "told"), [(0.75, ""), (0.4, "categories of items.jsonl are from 0.500 to 1.000")]
)
def test_a_mean_of_categories_lies_between_them(tmp_path: Path, value: float, told: str) -> None:
    metrics = {"overall": {"value": value, "correct": None, "total": None}}
    write_scores(tmp_path, {"benchmark": "b", "items": 3, "metrics": metrics}, ROWS)
    found = read_scores(tmp_path / "scores.json", "b").problem
    assert told in found and bool(told) == bool(found)


def test_a_mean_is_not_held_against_items_without_a_verdict(tmp_path: Path) -> None:
    rows = [{**row, "correct": row["id"] != "b" and None} for row in ROWS]
    metrics = {"overall": {"value": 0.75, "correct": None, "total": None}}
    write_scores(tmp_path, {"benchmark": "b", "items": 3, "metrics": metrics}, rows)
    assert read_scores(tmp_path / "scores.json", "b").problem == ""


def test_items_of_no_category_count_for_the_total_alone(tmp_path: Path) -> None:
    rows = [*ROWS, {"id": "d", "category": "overall", "correct": True}]
    metrics = {
        "x": {"value": 1 / 2, "correct": 1, "total": 2},
        "y": {"value": 1.0, "correct": 1, "total": 1},
        "overall": {"value": 3 / 4, "correct": 3, "total": 4},
    }
    write_scores(tmp_path, {"benchmark": "b", "items": 4, "metrics": metrics}, rows)
    assert read_scores(tmp_path / "scores.json", "b").problem == ""


@pytest.mark.parametrize(
    ("correct", "total", "told"),
    [
        ("21", 50, 'counts that are no whole numbers: "21" of 50'),
        (21.0, 50.0, "counts that are no whole numbers: 21.0 of 50.0"),
        (True, 1, "counts that are no whole numbers: true of 1"),
        (21, None, "one count without the other: 21 of None"),
        (10**400, 10**400, "counts that are no whole numbers: 10000000000000000000…"),
    ],
)
def test_counts_that_cannot_be_counts_are_a_fault(
    tmp_path: Path, correct: object, total: object, told: str
) -> None:
    entry = {"value": 0.9, "correct": correct, "total": total}
    write_scores(tmp_path, {"benchmark": "b", "metrics": {"overall": entry}}, ())
    score = read_scores(tmp_path / "scores.json", "b").metrics["overall"]
    assert told in score.fault and (score.value, score.correct, score.total) == (None, None, None)
