from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.builder import Tree
from toolrl_cli.report.api import build_report
from toolrl_cli.report.comparisons.paired import categories_of, compare_items, read_verdicts
from toolrl_cli.report.model import Source
from toolrl_cli.report.table_spec import ColumnSpec


def source(items: str, value: float | None = 50.0) -> Source:
    return Source(("a-seed1",), (1,), "e", None, None, items, value)


def test_verdicts_of_several_seeds_gather_under_their_item(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(
        '{"id": "x", "category": "parallel", "correct": true}\n'
        '{"id": "y", "category": "live", "correct": null}\n'
        '{"id": "z", "category": "live", "correct": false}\n'
    )
    (tmp_path / "two.jsonl").write_text(
        '{"id": "x", "category": "parallel", "correct": false}\n{"id": "z", "co'
    )
    both = [source("one.jsonl"), source("two.jsonl")]
    assert read_verdicts(tmp_path, both, None) == {"x": [True, False], "z": [False]}
    assert read_verdicts(tmp_path, both, frozenset(["live"])) == {"z": [False]}


def test_an_evaluation_without_a_value_or_items_gives_no_verdicts(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text('{"id": "x", "category": "live", "correct": true}\n')
    assert read_verdicts(tmp_path, [source("one.jsonl", None), source("")], None) == {}


def test_discordant_items_are_named_and_tested() -> None:
    a = {f"i{k}": [True] for k in range(10)} | {"only-a": [True]}
    b = {f"i{k}": [k >= 8] for k in range(10)} | {"only-b": [True]}
    paired = compare_items(a, b)
    assert paired.only_a == tuple(f"i{k}" for k in range(8))
    assert paired.only_b == ()
    assert paired.mcnemar_p == pytest.approx(2 * 0.5**8)
    assert paired.difference is not None and paired.difference.difference == pytest.approx(0.8)


def test_an_item_counts_for_the_arm_that_gets_it_right_more_often() -> None:
    paired = compare_items({"x": [True, True, False]}, {"x": [True, False, False]})
    assert paired.only_a == ("x",)


def test_a_tie_between_two_seeds_is_no_error() -> None:
    a = {f"i{k}": [True, False] for k in range(100)}
    b = {f"i{k}": [False, False] for k in range(100)}
    paired = compare_items(a, b)
    assert (len(paired.only_a), len(paired.only_b)) == (100, 0)
    assert paired.mcnemar_p == pytest.approx(2 * 0.5**100)
    assert paired.difference is not None and paired.difference.p == pytest.approx(2 * 0.5**100)


def test_few_items_are_never_certain() -> None:
    paired = compare_items({f"i{k}": [True] for k in range(3)}, {f"i{k}": [False] for k in range(3)})
    found = paired.difference
    assert found is not None and found.p == paired.mcnemar_p == 0.25
    assert found.low < 0 and found.high == 1.0


TABLE = """\
name: t
title: T
benchmark: toolworld
columns: [{name: accuracy, label: A}, {name: overall, label: O}]
"""


@pytest.mark.parametrize(
    ("column", "kept"),
    [
        ({"name": "overall", "label": "Overall"}, {"parallel", "live_simple", "overall"}),
        ({"name": "accuracy", "label": "A"}, {"parallel", "live_simple", "overall"}),
        ({"name": "parallel", "label": "P"}, {"parallel"}),
        ({"name": "p", "label": "P", "metric": "parallel"}, {"parallel"}),
        ({"name": "no_category", "label": "N"}, set()),
        (
            {"name": "live", "label": "L", "categories": ["live_simple", "live_multiple"]},
            {"live_simple", "live_multiple"},
        ),
    ],
)
def test_a_columns_items_are_those_of_its_categories(column: dict[str, object], kept: set[str]) -> None:
    known = ("parallel", "live_simple", "overall")  # an item of `overall` is of no category
    assert categories_of(ColumnSpec.model_validate(column), known) == kept


def test_a_category_may_be_called_accuracy(tree: Tree, tmp_path: Path) -> None:
    for arm, right in (("a", True), ("b", False)):
        run = tree.sweep().run(arm, reward=arm)
        run.done({"accuracy": (0, 3), "other": (0, 9), "overall": (0, 12)})
        run.items({"accuracy": dict.fromkeys("xyz", right), "other": dict.fromkeys("abcdefghi", True)})
    table = tmp_path / "t.yaml"
    table.write_text(TABLE)
    (pair,) = build_report(tree.write(), ["demo"], [str(table)]).pairs("a", "b")
    found = {c.head.name: c.items.difference for c in pair.columns if c.items is not None}
    assert {name: (d.n, d.difference) for name, d in found.items() if d is not None} == {
        "accuracy": (3, 1.0),
        "overall": (12, 0.25),
    }
