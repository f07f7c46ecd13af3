"""Every number, mark and verdict of random results, in all formats, beside a second calculation."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
from pathlib import Path
from typing import Any

import pytest

from tests.report import recount
from tests.report.builder import Tree, bfcl_scores
from tests.report.test_page import data_of
from tests.report.test_same_numbers import from_latex, from_markdown
from toolrl_cli.report.api import build_report
from toolrl_cli.report.computed import Report

MANY = os.environ.get("TOOLRL_RANDOM_TREES")
TREES = range(int(MANY)) if MANY else (0, 3, 5, 10)
"""Which random trees are looked at; TOOLRL_RANDOM_TREES=60 looks at 60, in three minutes."""

COLUMNS = ("overall", "parallel", "score")
SPEC = """\
name: mine
title: Mine
benchmark: toolworld
rows: arms
group_by: model
baseline: base
primary: overall
precision: {places}
columns:
  - {{name: overall, label: Overall}}
  - {{name: parallel, label: Parallel}}
  - {{name: score, label: Score}}
"""


def grown(root: Path, draw: random.Random) -> Tree:
    """Two or four arms: counted and uncounted columns, lost and failed seeds, equal ones, other protocols."""
    tree = Tree(root)
    seeds, total = draw.choice((2, 3, 4, 5, 6)), draw.choice((7, 40, 200))
    kind = draw.choice(("plain", "plain", "saturated", "equal", "far"))
    arms = ["base", "other", "third", "fourth"][: draw.choice((2, 3, 4))]
    apart = draw.choice(arms) if draw.random() < 0.2 else ""
    for position, arm in enumerate(arms):
        centre = {"plain": 0.5, "saturated": 0.99, "equal": 0.3, "far": 0.2 + 0.2 * position}[kind]
        first = 10 * position if draw.random() < 0.2 else 0  # other seeds than the rest
        for seed in range(first, first + seeds):
            run = tree.sweep().run(arm, seed, reward=arm)
            if draw.random() < 0.08:
                run.failed("rl", "oom")
                continue
            good = centre if kind == "equal" else min(1.0, max(0.0, centre + draw.gauss(0, 0.04)))
            items = {f"{c}{k}": draw.random() < good for c in "po" for k in range(total)}
            if kind == "equal":
                items = {name: hash_of(name, arm) < centre for name in items}
            protocol = {"protocol": "other"} if arm == apart else {}
            score = round(min(1.0, max(0.0, good + draw.gauss(0, 0.01))), 4)
            run.done({"overall": (0, 1), "parallel": (0, 1), "score": score}, **protocol)
            run.items({
                "parallel": {i: v for i, v in items.items() if i[0] == "p"},
                "other": {i: v for i, v in items.items() if i[0] == "o"},
            })  # fmt: skip
    tree.write()
    return tree


def hash_of(name: str, arm: str) -> float:
    return random.Random(f"{name}{arm}").random()


def counted(root: Path, places: int) -> dict[str, dict[str, recount.Counted]]:
    """Arm → column → the second calculation, with marks and tests."""
    found = {
        arm: {
            "overall": recount.count_cell(folders, "overall", None, places),
            "parallel": recount.count_cell(folders, "parallel", "parallel", places),
            "score": recount.count_cell(folders, "score", "score", places),
        }
        for arm, folders in recount.evaluations(root, "demo", "toolworld").items()
    }
    families: dict[str, list[tuple[recount.Counted, dict[str, Any]]]] = {"primary": [], "other": []}
    for column in COLUMNS:
        cells = [columns[column] for columns in found.values()]
        recount.mark(cells)
        if len({c.conditions for c in cells if c.conditions is not None}) > 1:
            continue
        for arm, columns in found.items():
            if arm != "base" and columns[column].conditions and found["base"][column].conditions:
                tested = recount.over_seeds(columns[column], found["base"][column])
                if tested is not None:
                    families["primary" if column == "overall" else "other"].append((columns[column], tested))
    for family, members in families.items():
        for (cell, tested), p in zip(members, recount.holm([t["p"] for _, t in members]), strict=True):
            cell.fields.update(
                star=p < 0.05, p=tested["p"], p_holm=p, family=family, test=tested["test"],
                **{f"difference{end}": round(tested[key], places)
                   for end, key in (("", "difference"), ("_low", "low"), ("_high", "high"))},
            )  # fmt: skip
    return found


def near(found: Any, known: Any) -> bool:
    if isinstance(known, bool) or not isinstance(known, float):
        return bool(found == known)
    return found is not None and abs(found - known) <= 1e-3 * abs(known) + 1e-9


def text_of(cell: dict[str, Any], places: int) -> str:
    """A cell as people read it."""
    seeds = f"({cell['n']})" if cell["n"] == cell["planned"] else f"({cell['n']}/{cell['planned']})"
    spread = ""
    if cell["ci"] is not None:
        spread = f"± {cell['ci']:.{places}f} "
        if abs(cell["mean"] - cell["ci"] - cell["low"]) > 1.5 * 10.0**-places or (
            abs(cell["mean"] + cell["ci"] - cell["high"]) > 1.5 * 10.0**-places
        ):
            spread = f"[{cell['low']:.{places}f}, {cell['high']:.{places}f}] "
    return f"{cell['mean']:.{places}f}{'*' if cell['star'] else ''} {spread}{seeds}"


def check_formats(report: Report, cells: dict[tuple[str, str], dict[str, Any]], places: int) -> None:
    """CSV, Markdown, LaTeX, the terminal and the page say what JSON says."""
    for line in csv.DictReader(io.StringIO(report.render("csv"))):
        known = cells[line["arm"].rpartition(" / ")[2], line["column"]]
        for key, value in known.items():
            text = (
                "" if value is None else " ".join(map(str, value)) if isinstance(value, list) else str(value)
            )
            assert line[key].lstrip("'") == (text.lower() if isinstance(value, bool) else text), key
    shown = {
        "markdown": from_markdown(report.render("markdown").replace("\\[", "[").replace("\\]", "]")),
        "latex": from_latex(report.render("latex")),
    }
    for kind, lines in shown.items():
        seen = 0
        for arm, texts in lines:
            for column, text in zip(COLUMNS, texts if (arm, "overall") in cells else (), strict=False):
                known = cells[arm, column]
                if known["mean"] is not None:
                    assert " ".join(text.split()) == text_of(known, places), (kind, arm, column)
                    seen += 1
        assert seen == sum(c["mean"] is not None for c in cells.values()), kind
    for text, best, second in (
        (report.render("markdown"), r"\*\*[\d.]+(?:\\\*)? ", r"\| _[\d.]+(?:\\\*)? "),
        (report.render("latex"), r"\\textbf\{[\d.]", r"\\underline\{[\d.]"),
        (report.render("terminal", width=200), "▸[0-9]", None),
    ):
        assert len(re.findall(best, text)) == sum(c["best"] for c in cells.values())
        assert second is None or len(re.findall(second, text)) == sum(c["second"] for c in cells.values())
    (page,) = data_of(report.render("html"))["tables"]
    for row in page["rows"]:
        for column, cell in zip(COLUMNS, row["cells"], strict=True):
            known = cells[row["label"], column]
            assert (cell["best"], cell["second"], cell["value"]) == (
                known["best"],
                known["second"],
                known["mean"],
            )
            assert known["mean"] is None or f"{cell['main']} {cell['spread']}" == text_of(known, places)
            assert (f"p {known['p']}" in cell["test"]) if known["p"] is not None else cell["test"] == ""


@pytest.mark.parametrize("tree_number", TREES)
def test_a_second_calculation_finds_the_same_numbers_marks_and_tests(
    tmp_path: Path, tree_number: int
) -> None:
    draw = random.Random(tree_number)
    places = draw.choice((1, 2))
    root = grown(tmp_path / "results", draw).root
    spec = tmp_path / "mine.yaml"
    spec.write_text(SPEC.format(places=places))
    report = build_report(root, ["demo"], [str(spec)])
    known = counted(root, places)
    (table,) = report.to_json()["tables"]
    cells = {
        (row["arm"].rpartition(" / ")[2], c): cell
        for row in table["rows"]
        for c, cell in row["cells"].items()
    }
    assert {arm for arm, _ in cells} == known.keys()
    for (arm, column), cell in cells.items():
        for key, value in known[arm][column].fields.items():
            assert near(cell[key], value), (arm, column, key, cell[key], value)
        assert known[arm][column].fields.get("p") is not None or cell["p"] is None
    check_formats(report, cells, places)
    check_power(report, known)
    check_pair(report, known, places)


def check_power(report: Report, known: dict[str, dict[str, recount.Counted]]) -> None:
    """The difference that the notes name is found 4 times in 5."""
    note = next((n for n in report.tables[0].notes if "are missed more often" in n), None)
    if note is None:
        return
    found = re.search(
        r"With (\d+) seeds an arm, .* below ([\d.]+) are .*?(?:0\.05/(\d+) )?\((.*) ([\d.]+)\)\.", note
    )
    assert found is not None, note
    n, difference, count, kind, sd = found.groups()
    assert int(count or 1) == max(1, sum("p" in columns["overall"].fields for columns in known.values()))
    chance = recount.power_of(float(difference), float(sd), int(n), 0.05 / int(count or 1), "paired" in kind)
    assert chance == pytest.approx(0.8, abs=0.05), note  # both numbers are rounded


def check_pair(report: Report, known: dict[str, dict[str, recount.Counted]], places: int) -> None:
    (pair,) = report.pairs("base", "other")
    document = json.loads(json.dumps(pair_json(report)))
    raw, adjusted, raw_seeds, adjusted_seeds = [], [], [], []
    for column in pair.columns:
        a, b = known["base"][column.head.name], known["other"][column.head.name]
        shown = document[column.head.name]
        if a.conditions is None or b.conditions is None or a.conditions != b.conditions:
            assert (shown["seeds"], shown["items"]) == (None, None)
            continue
        seeds, items = recount.over_seeds(a, b), recount.over_items(a, b)
        assert (seeds is None) == (shown["seeds"] is None) and (items is None) == (shown["items"] is None)
        if seeds is not None:
            ends = [shown["seeds"][key] for key in ("difference", "low", "high")]
            assert ends == pytest.approx(
                [seeds[k] for k in ("difference", "low", "high")], abs=0.51 * 10**-places
            )
            assert near(shown["seeds"]["p"], seeds["p"]) and shown["seeds"]["test"] == seeds["test"]
            raw_seeds.append(seeds["p"])
            adjusted_seeds.append(shown["seeds"]["p_holm"])
        if items is not None:
            ends = [shown["items"][key] for key in ("difference", "low", "high")]
            assert ends == pytest.approx(items["ends"], abs=0.51 * 10**-places)
            assert shown["items"]["p"] == pytest.approx(items["p"], abs=items["slack"] + 1e-4)
            assert [len(shown["items"][f"only_{side}"]) for side in "ab"] == items["more"]
            assert (
                near(shown["items"]["mcnemar_p"], float(items["sign"])) and shown["items"]["n"] == items["n"]
            )
            raw.append(shown["items"]["p"])
            adjusted.append(shown["items"]["p_holm"])
    assert adjusted == pytest.approx(recount.holm(raw), rel=1e-3)
    assert adjusted_seeds == pytest.approx(recount.holm(raw_seeds), rel=1e-3)


def pair_json(report: Report) -> dict[str, Any]:
    from toolrl_cli.report.render.pairs_text import document

    columns: dict[str, Any] = document(report.pairs("base", "other"))["pairs"][0]["columns"]
    return columns


@pytest.mark.parametrize("tree_number", TREES)
def test_a_second_calculation_comes_to_the_same_verdicts(tmp_path: Path, tree_number: int) -> None:
    draw = random.Random(f"claims {tree_number}")
    tree = Tree(tmp_path / "results")
    seeds, gain = draw.choice((3, 5)), draw.choice((0.0, 0.02, 0.1))
    for model in ("m1", "m2")[: draw.choice((1, 2))]:
        for reward, mean in (
            ("original", 0.4),
            ("dynamic", 0.4 + gain),
            ("two_stage", 0.39),
            ("equal_max", 0.38),
        ):
            for seed in range(seeds):
                run = tree.sweep().run(
                    f"{model}-{reward}", seed, model=model, reward=reward, benchmarks=("bfcl",)
                )
                run.done(bfcl_scores(round(mean + draw.gauss(0, 0.01), 4)), "bfcl")
    root = tree.write()
    found = recount.evaluations(root, "demo", "bfcl")
    cells = {arm: recount.count_cell(folders, "overall", None, 2) for arm, folders in found.items()}
    models = sorted({arm.partition("-")[0] for arm in cells})
    verdicts = []
    for result in build_report(root, ["demo"], ["T6"]).claims():
        if result.on != "bfcl" or not {*result.spec.order} <= {
            "original",
            "dynamic",
            "two_stage",
            "equal_max",
        }:
            continue
        (step,) = result.steps
        known = recount.over_models(
            [(cells[f"{m}-{step.better}"], cells[f"{m}-{step.worse}"]) for m in models]
        )
        assert known is not None and step.comparison is not None
        ends = [getattr(step.comparison, key) for key in ("difference", "low", "high", "p")]
        assert ends == pytest.approx([known[key] for key in ("difference", "low", "high", "p")], rel=1e-6)
        margin = result.spec.margin
        word = (
            "supported"
            if known["low"] > margin
            else "contradicted"
            if known["high"] <= margin
            else "undecided"
        )
        assert result.verdict == word
        verdicts.append(word)
    assert len(verdicts) == 3
