"""One unit of a metric in `report`, `list`, `show` and `diff`, and one check of what a score can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.report.builder import Tree
from toolrl_cli.api.listing import list_runs
from toolrl_cli.api.looking import diff, show
from toolrl_cli.commands.seeing.show import score_text
from toolrl_cli.report.api import build_report
from toolrl_cli.report.model import Head, fixed
from toolrl_cli.report.units import unit_of
from toolrl_cli.store.scores import Score


def views(tree: Tree, benchmark: str, raw: dict[str, Any], sft: dict[str, Any]) -> Path:
    for arm, metrics in (("raw", raw), ("sft", sft)):
        made = tree.sweep().run(arm, benchmarks=(benchmark,))
        made.stage("evaluate").config["own"] = benchmark == "mine"
        made.done(metrics, benchmark)
    return tree.write()


@pytest.mark.parametrize(
    ("benchmark", "metric", "scores", "unit"),
    [
        ("mine", "latency", [Score(0.4), Score(1.4)], "count"),
        ("mine", "latency", [Score(0.4)], "count"),
        ("mine", "sums", [Score(0.5, 1, 2)], "percent"),
        ("mine", "accuracy", [Score(0.5)], "percent"),
        ("mine", "accuracy", [Score(0.5), Score(45.0)], "percent"),
        ("mine", "accuracy", [Score(45.0)], "count"),
        ("bamboogle", "avg_tool_calls", [Score(0.8)], "count"),
        ("toolworld@15", "overall", [Score(0.8)], "percent"),
        ("bfcl", "live", [Score(0.8)], "percent"),
    ],
)
def test_a_unit_does_not_hang_on_which_runs_are_shown(
    benchmark: str, metric: str, scores: list[Score], unit: str
) -> None:
    assert unit_of(benchmark, metric, scores) == unit


def test_every_view_shows_a_number_without_counts_as_it_is(tree: Tree) -> None:
    root = views(tree, "mine", {"latency": 0.4, "acc": 0.4}, {"latency": 1.4, "acc": 45.0})
    (table,) = build_report(root, ["demo"]).tables
    assert [row.cells["latency"].mean for row in table.rows] == [0.4, 1.4]
    assert any("both sides of 1, as they are: latency, acc" in note for note in table.notes)
    found = show("raw-seed1", results=root)["scores"]["mine"]
    assert [score_text(found[name]) for name in ("latency", "acc")] == ["0.4", "0.4"]
    assert list_runs("demo", results=root)["units"]["mine"] == {"latency": "count", "acc": "count"}
    units = {row["name"]: row["unit"] for row in diff("raw-seed1", "sft-seed1", results=root)["results"]}
    assert units["mine/latency"] == "count"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((1e-9, 0.0), ["0.00000000100", "0.00000000000"]),
        ((0.4, 1.4), ["0.400", "1.400"]),
        ((0.05, -0.04), ["0.0500", "-0.0400"]),
        ((1.04, 1.01), ["1.04", "1.01"]),
        ((12.0, 3.0), ["12.0", "3.0"]),
        ((1234.5, 384.25), ["1234.5", "384.2"]),
        ((1e-300, 0.5), ["0.000000000000", "0.500000000000"]),
    ],
)
def test_a_number_of_one_s_own_is_shown_by_its_digits_and_none_is_called_the_best(
    tree: Tree, values: tuple[float, float], shown: list[str]
) -> None:
    root = views(tree, "mine", {"loss": values[0]}, {"loss": values[1]})
    (table,) = build_report(root, ["demo"]).tables
    (head,) = table.columns
    cells = [row.cells["loss"] for row in table.rows]
    assert [fixed(cell.mean or 0.0, head.precision) for cell in cells] == shown
    assert not any(cell.best or cell.second for cell in cells)


@pytest.mark.parametrize(
    ("low", "high", "least", "ends"),
    [(-5.2, -4.8, -5.1, (-5.2, -4.8)), (-0.2, 1.0, 0.1, (0.0, 1.0)), (-0.9, 1.2, -0.3, (-0.9, 1.2))],
)
def test_an_interval_is_cut_at_0_only_where_no_value_is_below(
    low: float, high: float, least: float, ends: tuple[float, float]
) -> None:
    assert Head("likelihood", "L", 1, unit="count").ends(low, high, least) == ends


def test_what_the_report_calls_unreadable_no_view_shows(tree: Tree) -> None:
    root = views(tree, "toolworld", {"overall": (1, 2)}, {"overall": (1, 2)})
    for path in root.glob("stages/evaluate/*raw*/output/scores.json"):
        document = json.loads(path.read_text())
        document["metrics"]["overall"]["value"] = 0.9
        path.write_text(json.dumps(document))
    table = build_report(root, ["demo"]).tables[0]
    assert table.rows[0].cells["overall"].state == "unreadable"
    told = score_text(show("raw-seed1", results=root)["scores"]["toolworld"]["overall"])
    assert told == "– (unreadable: 0.9 is not 1 of 2)"
    raw, sft = list_runs("demo", results=root)["runs"]
    assert raw["scores"]["toolworld"]["overall"] is None and sft["scores"]["toolworld"]["overall"] == 0.5
    assert raw["faults"] == {"toolworld/overall": "unreadable: 0.9 is not 1 of 2"}
    (row,) = [r for r in diff("raw-seed1", "sft-seed1", results=root)["results"] if "/" in r["name"]]
    assert (row["a"], row["b"], row["difference"]) == (None, 0.5, None)
