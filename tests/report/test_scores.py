"""Scores that contradict themselves, or were written for something else, never enter a mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.report.builder import Tree, toolworld_scores
from toolrl_cli.errors import LedgerError
from toolrl_cli.report.api import build_report
from toolrl_cli.report.model import Cell
from toolrl_cli.store.scores import read_scores


def cell_with(tree: Tree, **changed: Any) -> Cell:
    """Overall of an arm of two seeds, after changes to one seed's scores.json."""
    for seed in (1, 2):
        run = tree.sweep().run("a", seed).done({"overall": (100, 200)})
    path = run.directory("evaluate") / "output" / "scores.json"
    scores = json.loads(path.read_text())
    for key, value in changed.items():
        target = scores["metrics"] if key == "overall" else scores
        target.pop(key) if value is None else target.update({key: value})
    path.write_text(json.dumps(scores))
    return build_report(tree.write(), ["demo"]).tables[0].rows[0].cells["overall"]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"value": 0.9, "correct": 1, "total": 10}, "0.9 is not 1 of 10"),
        ({"value": 0.5, "correct": 50, "total": 10}, "50 of 10 is no share"),
        ({"value": 0.5, "correct": -5, "total": -10}, "-5 of -10 is no share"),
        ({"value": 0.0, "correct": 0, "total": 0}, "a share of no items"),
        ({"value": 46.2}, "46.2 is no share"),
    ],
)
def test_a_share_that_its_counts_contradict_is_left_out_and_named(
    tree: Tree, entry: dict[str, Any], told: str
) -> None:
    cell = cell_with(tree, overall=entry)
    assert (cell.n, cell.planned, cell.mean) == (1, 2, 50.0)
    assert cell.note == f"1 of 2: 1 unreadable: {told}"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"value": 0.9, "correct": "21", "total": 50}, 'counts that are no whole numbers: "21" of 50'),
        ({"value": 0.9, "correct": 21.0, "total": 50.0}, "counts that are no whole numbers: 21.0 of 50.0"),
        ({"value": 0.9, "correct": 21, "total": None}, "one count without the other: 21 of None"),
    ],
)
def test_counts_that_are_none_are_a_contradiction_and_not_left_aside(
    tree: Tree, entry: dict[str, Any], told: str
) -> None:
    assert cell_with(tree, overall=entry).note == f"1 of 2: 1 unreadable: {told}"


def test_parts_that_cannot_make_up_their_whole_are_named(tree: Tree) -> None:
    tree.sweep().run("a").done({**toolworld_scores(0.42), "overall": (45, 50)})
    cell = build_report(tree.write(), ["demo"]).tables[0].rows[0].cells["overall"]
    assert cell.state == "unreadable"
    assert "45 of 50 right overall, and its categories sum up to 84 of 200" in cell.note


def test_items_that_say_the_opposite_of_their_scores_decide_nothing(tree: Tree) -> None:
    for arm, share in (("a", 90), ("b", 10)):
        for seed in (1, 2, 3):
            run = tree.sweep().run(arm, seed, reward=arm).done({"overall": (share, 100)})
            rows = [{"id": f"i{k}", "category": "", "correct": k >= share} for k in range(100)]
            items = run.directory("evaluate") / "output" / "items.jsonl"
            items.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = build_report(tree.write(), ["demo"], ["toolworld"])
    cells = [row.cells["overall"] for row in report.tables[0].rows]
    assert [(cell.mean, cell.state) for cell in cells] == [(None, "unreadable")] * 2
    assert report.pairs("a", "b")[0].columns[-1].items is None


def test_a_share_may_be_rounded(tree: Tree) -> None:
    assert cell_with(tree, overall={"value": 0.333, "correct": 1, "total": 3}).n == 2


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"benchmark": "bfcl"}, "scores.json is of benchmark 'bfcl', and 'toolworld' was planned"),
        ({"schema": 2}, "scores.json is of schema 2, and this toolrl reads schema 1"),
        ({"schema": None}, "scores.json names no schema"),
        ({"metrics": [1]}, "scores.json has no metrics"),
    ],
)
def test_scores_of_something_else_are_left_out_and_named(
    tree: Tree, changed: dict[str, Any], told: str
) -> None:
    cell = cell_with(tree, **changed)
    assert (cell.n, cell.planned) == (1, 2)
    assert told in cell.note


def test_a_missing_condition_is_called_not_said(tree: Tree) -> None:
    cell = cell_with(tree, protocol=None)
    assert cell.state == "mixed" and "protocol: not said / toolworld" in cell.note


def test_a_message_holds_no_path_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "scores.json").mkdir()
    assert read_scores(tmp_path / "scores.json", "toolworld").problem == (
        "scores.json cannot be read (Is a directory)"
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda plan: plan.update(schema=9), "plan.json is of schema 9, and this toolrl reads schema 1"),
        (lambda plan: plan["runs"].append(plan["runs"][0]), "plan.json has arm 'a' with seed 1 twice"),
        (lambda plan: plan.update(tables="T6"), "plan.json does not hold a plan"),
    ],
)
def test_a_plan_that_would_count_wrongly_is_refused(tree: Tree, change: Any, told: str) -> None:
    tree.sweep().run("a").done(toolworld_scores(0.5))
    path = tree.write() / "sweeps" / "demo" / "plan.json"
    plan = json.loads(path.read_text())
    change(plan)
    path.write_text(json.dumps(plan))
    with pytest.raises(LedgerError, match=told):
        build_report(tree.root, ["demo"])


def test_a_plan_that_is_null_is_a_fault_and_not_a_missing_sweep(tree: Tree) -> None:
    tree.sweep().run("a")
    (tree.write() / "sweeps" / "demo" / "plan.json").write_text("null")
    with pytest.raises(LedgerError, match="holds nothing but null"):
        build_report(tree.root, ["demo"])
