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


@pytest.mark.parametrize("text", ["", json.dumps(ROWS[0]) + '\n{"id": "b", "cat'])
def test_items_that_are_torn_cannot_be_used(tmp_path: Path, text: str) -> None:
    write_scores(tmp_path, SCORES, ROWS)
    (tmp_path / ITEMS).write_text(text)
    assert "scores.json is of 3 items" in read_scores(tmp_path / "scores.json", "b").problem
