"""Two arms against each other: over seeds and over items, in every format the same."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from scipy import stats

from tests.report.builder import Tree, bfcl_scores, toolworld_scores
from toolrl_cli.errors import SpecError
from toolrl_cli.report.api import build_report
from toolrl_cli.report.computed import Report
from toolrl_cli.report.render import pairs_text as render
from toolrl_cli.report.statistics.basics import holm
from toolrl_cli.report.statistics.items import compare_over_items, item_differences, mcnemar


def two_arms(tree: Tree) -> Report:
    for seed in (1, 2, 3):
        a = tree.sweep().run("alpha", seed).done(toolworld_scores(0.60 + 0.01 * seed))
        b = tree.sweep().run("beta", seed, reward="coarse").done(toolworld_scores(0.40 + 0.02 * seed))
        a.items(
            {
                "parallel": {f"p{k}": k < 15 for k in range(20)},
                "seen_tools": {f"s{k}": k < 17 + seed for k in range(20)},
            }
        )
        b.items(
            {
                "parallel": {f"p{k}": 3 < k < 9 for k in range(20)},
                "seen_tools": {f"s{k}": k > 3 - seed for k in range(20)},
            }
        )
    return build_report(tree.write(), ["demo"])


def test_a_pair_holds_welchs_interval_the_items_test_and_mcnemar_of_each_column(tree: Tree) -> None:
    report = two_arms(tree)
    (pair,) = report.pairs("alpha", "BETA")
    found = {c.head.name: c for c in pair.columns}
    overall = found["overall"]
    cells = report.tables[0].rows
    known = stats.ttest_ind(
        cells[0].cells["overall"].values, cells[1].cells["overall"].values, equal_var=False
    ).confidence_interval()
    assert overall.seeds is not None
    assert (overall.seeds.low, overall.seeds.high) == pytest.approx((known.low, known.high))
    parallel = found["parallel"].items
    assert parallel is not None and parallel.difference is not None
    assert (len(parallel.only_a), len(parallel.only_b)) == (10, 0)
    assert parallel.mcnemar_p == mcnemar(10, 0)
    verdicts = [
        {f"p{k}": [test(k)] * 3 for k in range(20)} for test in (lambda k: k < 15, lambda k: 3 < k < 9)
    ]
    assert parallel.difference == compare_over_items(list(item_differences(*verdicts).values()))


def test_p_values_are_corrected_over_the_columns_that_could_be_tested(tree: Tree) -> None:
    (pair,) = two_arms(tree).pairs("alpha", "beta")
    tested = [c for c in pair.columns if c.adjusted is not None]
    assert [c.head.name for c in tested] == ["seen_tools", "parallel", "overall"]
    raw = [c.items.difference.p for c in tested if c.items and c.items.difference]
    assert [c.adjusted for c in tested] == holm(raw)


def test_a_mean_of_means_is_not_tested_over_items(tree: Tree) -> None:
    for arm in ("alpha", "beta"):
        run = tree.sweep().run(arm, reward=arm).done({"overall": 0.6, "parallel": (12, 20)})
        run.items({"parallel": {f"p{k}": k < 12 for k in range(20)}})
    (pair,) = build_report(tree.write(), ["demo"], ["toolworld"]).pairs("alpha", "beta")
    assert [c.head.name for c in pair.columns if c.items is not None] == ["parallel"]


def test_the_settings_in_which_the_two_differ_are_told(tree: Tree) -> None:
    (pair,) = two_arms(tree).pairs("alpha", "beta")
    assert pair.settings == (("reward.name", "original", "coarse"),)


def test_a_raw_and_a_trained_arm_of_one_model_do_not_differ_in_it(tree: Tree) -> None:
    tree.sweep().run("raw", train=()).done(toolworld_scores(0.3))
    tree.sweep().run("grpo").done(toolworld_scores(0.5))
    (pair,) = build_report(tree.write(), ["demo"]).pairs("raw", "grpo")
    assert ("train", "none", "rl") in pair.settings
    assert not any(key.startswith("model") for key, _, _ in pair.settings)


def test_arms_scored_differently_are_not_compared(tree: Tree) -> None:
    tree.sweep().run("a").done({"overall": 0.5})
    tree.sweep().run("b", reward="coarse").done({"overall": 0.4}, protocol="other")
    (pair,) = build_report(tree.write(), ["demo"]).pairs("a", "b")
    overall = pair.columns[-1]
    assert overall.why == "scored differently (protocol: other / toolworld)"
    assert (overall.seeds, overall.items) == (None, None)


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        ("alpha", "bet", "no row 'bet' .did you mean 'beta'"),
        (
            "original",
            "m2 / Coarse",
            "'original' fits 2 rows of table T7 .one of 'm1 / Original', 'm2 / Original'",
        ),
    ],
)
def test_a_name_that_fits_no_row_or_several_is_refused(tree: Tree, a: str, b: str, told: str) -> None:
    two_arms(tree)
    for model in ("m1", "m2"):
        for reward in ("original", "coarse"):
            run = tree.sweep("t7").run(f"{model}-{reward}", model=model, reward=reward, benchmarks=("bfcl",))
            run.done(bfcl_scores(0.4), "bfcl")
    root = tree.write()
    report = build_report(root, ["t7"], ["T7"]) if "m2" in b else build_report(root, ["demo"])
    with pytest.raises(SpecError, match=told):
        report.pairs(a, b)


def test_every_format_says_the_same_numbers_however_narrow(tree: Tree, tmp_path: Path) -> None:
    pairs = two_arms(tree).pairs("alpha", "beta")
    overall = json.loads(json.dumps(render.document(pairs), allow_nan=False))["pairs"][0]["columns"][
        "overall"
    ]
    numbers = [
        f"{part[end]:+.1f}"
        for part in (overall["seeds"], overall["items"])
        for end in ("difference", "low", "high")
    ]
    printed = []
    for width in range(80, 201, 8):
        console = Console(width=width, record=True, file=(tmp_path / "out").open("w"))
        render.print_pairs(pairs, console)
        printed.append(console.export_text())
    for text in (*printed, render.render(pairs, "markdown")):
        assert "…" not in text
        for number in numbers:
            assert number in text
        assert str(len(overall["items"]["only_a"])) in text


def test_all_rows_stand_against_one_in_a_table_for_each_column(tree: Tree) -> None:
    report = two_arms(tree)
    for seed in (1, 2, 3):
        run = tree.sweep().run("gamma", seed, reward="length").done(toolworld_scores(0.5))
        run.items({"parallel": {f"p{k}": k < 12 + seed for k in range(20)}})
    tree.sweep().run("later", reward="dynamic")
    report = build_report(tree.write(), ["demo"])
    pairs = report.pairs("*", "beta")
    assert [(p.a, p.b) for p in pairs] == [("alpha", "beta"), ("gamma", "beta")]
    primary = [c for p in pairs for c in p.columns if c.head.name == "overall" and c.items is not None]
    raw = [c.items.difference.p for c in primary if c.items and c.items.difference]
    assert [c.adjusted for c in primary] == holm(raw) and len(raw) == 2
    text = render.render(pairs, "markdown")
    assert text.count("### ToolWorld") == 3 and "| alpha |" in text and "| later |" not in text
    with pytest.raises(SpecError, match=r"no row 'bet' with others beside it .did you mean 'beta'"):
        report.pairs("*", "bet")


def test_rows_stand_against_the_row_of_their_own_group(tree: Tree) -> None:
    models = ("qwen2.5-1.5b-instruct", "qwen2.5-3b-instruct")
    for model in models:
        for reward in ("original", "coarse"):
            run = tree.sweep().run(f"{reward}-{model[:11]}", model=model, reward=reward, benchmarks=("bfcl",))
            run.done(bfcl_scores(0.5), "bfcl")
    pairs = build_report(tree.write(), ["demo"], ["T7"]).pairs("*", "Original")
    assert [(p.a.partition(" / ")[0], p.b.partition(" / ")[0]) for p in pairs] == [(m, m) for m in models]


def test_latex_and_csv_of_a_pair_hold_the_numbers_of_json(tree: Tree) -> None:
    pairs = two_arms(tree).pairs("alpha", "beta")
    columns = render.document(pairs)["pairs"][0]["columns"]
    latex = render.render(pairs, "latex")
    assert latex.count(r"\begin{tabular}") == 1 and r"A more \& B" not in latex
    for line in csv.DictReader(io.StringIO(render.render(pairs, "csv"))):
        known = columns[line["column"]]
        for part in ("seeds", "items"):
            for key in ("difference", "low", "high", "p"):
                assert line[f"{part}_{key}"] == ("" if known[part] is None else str(known[part][key]))
        if known["items"] is not None:
            assert line["items_more_a"] == str(len(known["items"]["only_a"]))
            assert f"{known['items']['difference']:+.1f}".replace("-", "$-$") in latex
