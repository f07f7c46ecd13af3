"""`toolrl report`: what it prints, what it writes, and with which exit status."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.commands.conftest import SWEEP, Toolrl
from tests.report.builder import Tree, bfcl_scores, toolworld_scores

MINE = """
name: mine
title: Mine
benchmark: toolworld
columns: [{name: overall, label: Overall}]
"""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two arms of three seeds with items and curves, and one of another benchmark."""
    tree = Tree(tmp_path / "results")
    for seed in (1, 2, 3):
        for arm, algorithm, share in (("grpo", "grpo", 0.6), ("ppo", "ppo", 0.5)):
            run = tree.sweep("world").run(arm, seed, algorithm=algorithm)
            run.done(toolworld_scores(share + 0.01 * seed)).learned(-1, 2)
            run.items({"parallel": {f"i{k}": k < 20 * share for k in range(20)}})
        tree.sweep("calls").run("a", seed, model="qwen2.5-3b-instruct", benchmarks=("bfcl",)).done(
            bfcl_scores(0.4), "bfcl", protocol="bfcl_v3"
        )
    return tree.write()


def test_json_on_stdout_is_one_document_with_the_promised_keys(toolrl: Toolrl, results: Path) -> None:
    said = toolrl("report", "world", "--json")
    assert said.code == 0
    (table,) = said.json["tables"]
    assert set(table) == {"name", "columns", "rows"}
    cell = table["rows"][0]["cells"]["overall"]
    assert set(cell) > {"mean", "ci", "n", "published", "note", "p", "seeds"} and cell["n"] == 3


def test_the_printed_table_alone_needs_no_results(toolrl: Toolrl) -> None:
    said = toolrl("report", "--table", "T6", "--published-only", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert said.code == 0 and len(rows) == 84
    assert {r["mean"] for r in rows} == {""} and rows[0]["published"] == "46.2"


def test_a_sweep_that_names_no_table_gets_that_of_its_benchmark(toolrl: Toolrl, results: Path) -> None:
    assert toolrl("report", "calls").out.startswith("BFCL V3\n")


def test_in_a_pipe_no_line_is_broken_and_none_ends_in_spaces(toolrl: Toolrl, results: Path) -> None:
    shown = toolrl("report", "world").out.splitlines()
    assert shown and not [line for line in shown if line != line.rstrip()]
    assert [line for line in shown if line.startswith("· Mean ")]
    assert max(map(len, shown)) > 80


def test_a_sweep_named_twice_is_reported_once(toolrl: Toolrl, results: Path) -> None:
    assert toolrl("report", "world", "world", "--json").json == toolrl("report", "world", "--json").json


def test_nothing_to_show_is_said(toolrl: Toolrl, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "results")
    tree.sweep().run("a", benchmarks=())
    tree.write()
    said = toolrl("report")
    assert said.code == 0 and "there is no table" in said.err


def test_output_holds_every_format_and_every_figure_there_is(toolrl: Toolrl, results: Path) -> None:
    said = toolrl("report", "world", "--output", "out")
    names = {path.name for path in Path("out").iterdir()}
    assert said.code == 0 and names == {
        "toolworld.md", "toolworld.csv", "toolworld.json", "toolworld.tex", "toolworld.provenance.json",
        "claims.md", "claims.json", "report.html",
        *(f"{f}.{k}" for f in ("curves", "fig6", "fig2_scores", "toolworld") for k in ("png", "pdf", "svg")),
    }  # fmt: skip
    assert all(f"wrote out/{name}" in said.err for name in names)


def test_the_same_results_give_the_same_bytes_from_another_folder_and_after_a_touch(
    toolrl: Toolrl, results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    toolrl("report", "world", "--against", "paper", "--output", str(tmp_path / "one"))
    for path in results.rglob("*"):
        path.touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    toolrl("report", "world", "--against", "paper", "--output", str(tmp_path / "two"))
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert files == sorted(p.name for p in (tmp_path / "two").iterdir()) and len(files) == 20
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_figure_that_cannot_be_drawn_is_said_and_the_status_is_1(toolrl: Toolrl, results: Path) -> None:
    said = toolrl("report", "world", "--figure", "fig6", "--figure", "fig10", "--output", "out")
    assert said.code == 1
    assert "fig10 was not drawn: these results have fewer than two of its lines or bars" in said.err
    assert sorted(p.name for p in Path("out").iterdir()) == ["fig6.pdf", "fig6.png", "fig6.svg"]


def test_metrics_that_cannot_be_read_are_said_and_lose_no_table(toolrl: Toolrl, results: Path) -> None:
    path = next(results.glob("stages/rl/*/attempts/1/metrics.jsonl"))
    path.unlink()
    path.mkdir()
    said = toolrl("report", "world", "--output", "out")
    assert said.code == 0 and "Overall" in said.out
    assert f"warning: metrics of {path.parents[2].name} cannot be read: Is a directory" in said.err


def test_a_pair_is_tested_on_its_items(toolrl: Toolrl, results: Path) -> None:
    said = toolrl("report", "world", "--pair", "grpo", "ppo", "--json")
    parallel = said.json["pairs"][0]["columns"]["parallel"]["items"]
    assert parallel["n"] == 20 and len(parallel["only_a"]) == 2
    assert "A - B over items" in toolrl("report", "world", "--pair", "grpo", "ppo").out


OWN_CLAIM = """
claims:
  - {name: mine, text: The critic does not help., order: [ppo, grpo], measure: [toolworld/overall]}
"""


def test_claims_of_ones_own_are_what_is_written_and_on_the_page(toolrl: Toolrl, results: Path) -> None:
    Path("mine.yaml").write_text(OWN_CLAIM)
    said = toolrl("report", "world", "--claims-file", "mine.yaml", "--output", "out")
    assert said.code == 0 and "The critic does not help." in said.out
    assert [claim["name"] for claim in json.loads(Path("out/claims.json").read_text())["claims"]] == ["mine"]
    for name in ("claims.md", "report.html"):
        assert "The critic does not help." in Path("out", name).read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--pair", "grpo", "ppo", "--claims"), "--claims and --pair are two views"),
        (("--pair", "grpo", "ppo", "--aggregate"), "--pair and --aggregate are two views"),
        (("--claims-file", "no.yaml", "--pair", "grpo", "ppo"), "--claims and --pair are two views"),
        (("--claims", "--aggregate"), "--claims and --aggregate are two views"),
        (("--json", "--format", "latex"), "--json and --format latex are two formats"),
        (("--claims", "--table", "T6"), "--table is of tables, and --claims shows none"),
        (("--pair", "grpo", "ppo", "--against", "paper"), "--against is of tables, and --pair shows none"),
        (("--published-only",), "--published-only: SWEEP reads results"),
        (("--published-only", "--claims"), "--published-only: --claims reads results"),
        (("--published-only", "--pair", "grpo", "ppo"), "--published-only: --pair reads results"),
        (("--published-only", "--aggregate"), "--published-only: --aggregate reads results"),
        (("--published-only", "--figure", "fig6", "--output", "out"), "--published-only: --figure reads"),
    ],
)
def test_an_option_that_would_be_dropped_is_refused(
    toolrl: Toolrl, results: Path, arguments: tuple[str, ...], told: str
) -> None:
    said = toolrl("report", "world", *arguments)
    assert said.code == 2 and said.out == "" and told in said.err
    assert not Path("out").exists()


def test_printed_tables_alone_refuse_an_import(toolrl: Toolrl) -> None:
    said = toolrl("report", "--published-only", "--import", "no.csv")
    assert said.code == 2 and "--import reads results" in said.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nosuch",), "no sweep 'nosuch'"),
        (("--table", "T66"), "did you mean 'T6'"),
        (("--table", "no.yaml"), "no.yaml: no such file"),
        (("--format", "pdf"), "unknown format 'pdf'"),
        (("--json", "--format", "pdf"), "unknown format 'pdf'"),
        (("--against", "papr"), "did you mean 'paper'"),
        (("--figure", "fig6"), "a figure needs a folder"),
        (("--figure", "fig6", "--figure", "fig99", "--output", "out"), "unknown figure 'fig99'"),
        (("--claims-file", "no.yaml"), "no.yaml: no such file"),
        (("--claims", "--format", "latex"), "claims have no format 'latex'"),
        (("--import", "no.csv"), "no.csv: cannot be read"),
        (("--pair", "grpo", "pp"), "did you mean 'ppo'"),
        (("--pair", "grpo", "ppo", "--format", "html"), "a pair has no page of its own"),
        (("--output", "results/sweeps/world/plan.json"), "the report cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    toolrl: Toolrl, results: Path, arguments: tuple[str, ...], told: str
) -> None:
    said = toolrl("report", *(() if arguments[0] == "nosuch" else ("world",)), *arguments)
    assert said.code == 2 and said.out == ""
    assert said.err.startswith("error: ") and told in said.err and said.err.count("\n") == 1
    assert not Path("out").exists()


def test_a_sweeps_own_table_is_found_beside_its_file_and_later_from_anywhere(
    toolrl: Toolrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "grids"
    folder.mkdir()
    (folder / "mine.yaml").write_text(MINE)
    (folder / "small.yaml").write_text(
        SWEEP.replace("tables: [toolworld]", "tables: [./mine.yaml, toolworld]")
    )
    assert toolrl("sweep", "grids/small.yaml").code == 0
    monkeypatch.chdir(folder.parent.parent)
    names = [t["name"] for t in toolrl("report", "small", "--json").json["tables"]]
    assert names == ["mine", "toolworld"]


def test_a_table_that_has_gone_names_the_sweep_and_the_way_round_it(toolrl: Toolrl, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "results")
    tree.sweep("world", ["gone.yaml"]).run("a").done(toolworld_scores(0.5))
    tree.write()
    said = toolrl("report", "world")
    assert said.code == 2
    assert "sweep 'world', tables: gone.yaml: no such file" in said.err and "--table NAME" in said.err
    assert toolrl("report", "world", "--table", "toolworld").code == 0


def test_a_sweep_that_cannot_be_read_hides_no_other(toolrl: Toolrl, results: Path) -> None:
    (results / "sweeps" / "calls" / "plan.json").write_text("{")
    said = toolrl("report", "--json")
    assert said.code == 0 and [t["name"] for t in said.json["tables"]] == ["toolworld"]
    assert "warning: sweep passed over: " in said.err and "calls/plan.json" in said.err
    assert toolrl("report", "calls").code == 2


def test_a_users_table_names_its_faults_by_file_and_line(toolrl: Toolrl, results: Path) -> None:
    Path("mine.yaml").write_text(MINE.replace("label: Overall", "label: Overall, metrik: x"))
    said = toolrl("report", "world", "--table", "mine.yaml")
    assert said.code == 2 and "mine.yaml:5: columns[0].metrik: unknown key 'metrik'" in said.err


def test_a_baseline_that_is_no_arm_is_said_under_the_table(toolrl: Toolrl, results: Path) -> None:
    Path("mine.yaml").write_text(MINE + "baseline: grp\n")
    said = toolrl("report", "world", "--table", "mine.yaml", "--format", "markdown")
    assert "the baseline 'grp' is no arm of these sweeps (did you mean 'grpo'?)" in said.out


def test_what_a_reproduction_printed_is_shown_whole(toolrl: Toolrl) -> None:
    said = json.loads(toolrl("report", "--published-only", "--against", "gdpo", "--json").out)
    (table,) = said["tables"]
    cells = {row["arm"]: row["cells"] for row in table["rows"]}
    assert cells["Qwen2.5-1.5B-Instruct / GDPO"]["average"]["published"] == 32.81
    assert sum(c["published"] is not None for row in cells.values() for c in row.values()) == 15


def test_every_row_against_one_and_over_all_models_in_every_format(toolrl: Toolrl, results: Path) -> None:
    for form, start in (
        ("markdown", "### "),
        ("latex", "% needs"),
        ("csv", "table,a,b,column,"),
        ("json", "{"),
    ):
        said = toolrl("report", "world", "--pair", "*", "grpo", "--format", form)
        assert said.code == 0 and said.out.startswith(start), said.err
        said = toolrl("report", "world", "--aggregate", "--format", form)
        assert said.code == 0 and said.out.startswith(start.replace("table,a,b,column", "tables,row,runs")), (
            said.err
        )
    assert toolrl("report", "world", "--aggregate", "--format", "html").code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--map", "a=toolworld/overall"), "there is nothing to map"),
        (("--import", "runs.csv", "--map", "toolworld/overall"), "is no FIELD=COLUMN"),
        (("--import", "r.csv", "--map", "a=x/y", "--map", "a=x/z"), "'a' is mapped twice"),
    ],
)
def test_a_map_that_maps_nothing_is_refused(
    toolrl: Toolrl, results: Path, arguments: tuple[str, ...], told: str
) -> None:
    said = toolrl("report", *arguments)
    assert said.code == 2 and told in said.err
