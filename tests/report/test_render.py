"""All formats say the same numbers."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from tests.report.builder import Tree, bfcl_scores, toolworld_scores
from toolrl_cli.report.api import build_report
from toolrl_cli.report.computed import FORMATS, Report
from toolrl_cli.report.model import Table
from toolrl_cli.report.render import latex, markdown, terminal
from toolrl_cli.report.render.terminal import BEST


@pytest.fixture
def report(tree: Tree) -> Report:
    """Complete, half done, failed, running and missing arms in one table."""
    sweep = tree.sweep()
    for seed in (1, 2, 3):
        sweep.run("raw", seed, train=()).done(toolworld_scores(0.3))
        sweep.run("grpo-original", seed).done(toolworld_scores(0.55 + 0.01 * seed))
        half = sweep.run("grpo-coarse", seed, reward="coarse")
        if seed < 3:
            half.done(toolworld_scores(0.35 + 0.02 * seed))
        else:
            half.failed("rl", "oom", "CUDA out of memory")
        sweep.run("ppo", seed, algorithm="ppo").running("rl", 12)
    sweep.run("later", reward="length")
    return build_report(tree.write(), ["demo"], ["toolworld"])


@pytest.fixture
def paper(tree: Tree) -> Report:
    """T6 beside the printed numbers."""
    for reward in ("original", "equal_max", "two_stage", "dynamic"):
        for seed in (1, 2, 3):
            run = tree.sweep().run(
                reward, seed, model="qwen2.5-1.5b-instruct", reward=reward, benchmarks=("bfcl",)
            )
            run.done(
                bfcl_scores(0.45 + 0.01 * seed - 0.1 * (reward == "two_stage")), "bfcl", protocol="bfcl_v3"
            )
    return build_report(tree.write(), ["demo"], ["T6"], against="paper")


def numbers(table: Table) -> list[str]:
    """Every rounded mean and interval of a table, as text, in reading order."""
    out = []
    for row in table.rows:
        for head in table.columns:
            cell = row.cells[head.name]
            out += [f"{v:.{head.precision}f}" for v in (cell.mean, cell.ci) if v is not None]
    return out


def body_numbers(text: str, precision: int) -> list[str]:
    return re.findall(rf"\d+\.\d{{{precision}}}(?!\d)", text)


def test_json_has_the_shape_that_design_promises(report: Report) -> None:
    document = json.loads(report.render("json"))
    assert document == report.to_json()
    assert set(document) == {"schema", "tables"} and document["schema"] == 1
    (table,) = document["tables"]
    assert set(table) == {"name", "columns", "rows"}
    for row in table["rows"]:
        assert set(row) == {"arm", "cells"}
        assert list(row["cells"]) == table["columns"]
        for cell in row["cells"].values():
            assert list(cell)[:5] == ["mean", "ci", "n", "published", "note"]
            assert (cell["p"] is None) == (cell["p_holm"] is None) == (cell["test"] is None)
            assert cell["star"] == (cell["p_holm"] is not None and cell["p_holm"] < 0.05)


@pytest.mark.parametrize("which", ["report", "paper"])
def test_csv_and_json_agree_to_the_last_digit(which: str, request: pytest.FixtureRequest) -> None:
    made: Report = request.getfixturevalue(which)
    rows = list(csv.DictReader(io.StringIO(made.render("csv"))))
    flat = [
        (t["name"], row["arm"], column, cell)
        for t in json.loads(made.render("json"))["tables"]
        for row in t["rows"]
        for column, cell in row["cells"].items()
    ]
    assert len(rows) == len(flat)
    for line, (table, arm, column, cell) in zip(rows, flat, strict=True):
        assert (line["table"], line["arm"], line["column"]) == (table, arm, column)
        for key, value in cell.items():
            text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            assert line[key] == ("" if value is None else text.lower() if isinstance(value, bool) else text)


@pytest.mark.parametrize("kind", ["markdown", "latex", "terminal"])
def test_formats_for_people_print_the_numbers_of_json_in_the_same_order(report: Report, kind: str) -> None:
    (table,) = report.tables
    bare = replace(table, notes=(), problems=())
    text = replace(report, tables=(bare,)).render(kind, width=200)
    assert body_numbers(text, 1) == numbers(table)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_state_stands_in_every_format(report: Report, kind: str) -> None:
    text = report.render(kind, width=200)
    for state in ("failed: oom", "running 12/25", "not run yet"):
        assert state in text


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("which", ["report", "paper"])
def test_the_same_results_give_the_same_bytes(
    kind: str, which: str, request: pytest.FixtureRequest, tree: Tree
) -> None:
    made: Report = request.getfixturevalue(which)
    again = build_report(tree.root, ["demo"], [made.tables[0].name], "paper" if which == "paper" else None)
    assert made.render(kind).encode() == again.render(kind).encode()


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
@pytest.mark.parametrize("which", ["report", "paper"])
def test_no_terminal_line_is_wider_than_asked_and_no_number_is_broken(
    which: str, width: int, request: pytest.FixtureRequest
) -> None:
    made: Report = request.getfixturevalue(which)
    (table,) = made.tables
    bare = replace(table, notes=(), problems=())
    text = terminal.render([bare], width)
    assert max(map(len, text.splitlines())) <= width
    whole = body_numbers(text, table.columns[0].precision)
    assert set(numbers(table)) <= set(whole)
    if width < 200:
        assert "…" not in text


def test_at_80_columns_an_interval_stands_under_its_mean(report: Report) -> None:
    lines = report.render("terminal", width=80).splitlines()
    row = next(i for i, line in enumerate(lines) if line.startswith("grpo-original"))
    assert re.fullmatch(r"grpo-original(\s+▸\d\d\.\d){5}", lines[row])
    assert re.fullmatch(r"(\s+± \d+\.\d \(3\)){5}", lines[row + 1])


def test_off_the_terminal_best_is_a_sign_and_on_it_bold(report: Report) -> None:
    plain = terminal.render(report.tables, 140)
    styled = terminal.render(report.tables, 140, styled=True)
    assert plain.count(f"{BEST}") == 6 and "\x1b" not in plain
    assert BEST not in styled and "\x1b[1;32m" in styled


def test_markdown_marks_best_in_bold_and_second_in_italics(report: Report) -> None:
    lines = report.render("markdown").splitlines()
    assert next(x for x in lines if x.startswith("| grpo-original")).count("**") == 10
    assert next(x for x in lines if x.startswith("| raw")).count("_") == 10


def test_latex_marks_best_in_bold_and_second_underlined(report: Report) -> None:
    lines = report.render("latex").splitlines()
    assert next(x for x in lines if x.startswith("grpo-original")).count(r"\textbf{") == 5
    assert next(x for x in lines if x.startswith("raw")).count(r"\underline{") == 5


def test_latex_braces_and_environments_balance(paper: Report) -> None:
    text = latex.document(paper.tables)
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert sorted(re.findall(r"\\begin\{(\w+)\}", text)) == sorted(re.findall(r"\\end\{(\w+)\}", text))
    widths = {
        line.count(" & ") for line in text.splitlines() if line.endswith(r" \\") and "multi" not in line
    }
    assert len(widths) == 1 or widths == {6, 7}


def test_signs_that_latex_or_markdown_would_read_are_escaped() -> None:
    assert latex.escape("a_b & 50 % {x} ± \\ ~^<>#$") == (
        r"a\_b \& 50~\% \{x\} $\pm$ \textbackslash{} \textasciitilde{}\textasciicircum{}"
        r"\textless{}\textgreater{}\#\$"
    )
    assert latex.escape("ok é 漢") == "ok é ?"
    assert markdown.escape("a|b*c_d") == r"a\|b\*c\_d"
    assert markdown.escape("$x$ ~~y~~ &lt;") == r"\$x\$ \~\~y\~\~ \&lt;"


@pytest.mark.parametrize("arm", ["=1+1", "@SUM(A1)", "-x", "+y"])
def test_a_name_that_a_spreadsheet_would_run_is_text_in_csv(tree: Tree, arm: str) -> None:
    tree.sweep().run(arm).done(toolworld_scores(0.5))
    made = build_report(tree.write(), ["demo"], ["toolworld"])
    assert {line["arm"] for line in csv.DictReader(io.StringIO(made.render("csv")))} == {f"'{arm}"}
    assert json.loads(made.render("json"))["tables"][0]["rows"][0]["arm"] == arm


def test_latex_says_which_characters_it_loses_to_whoever_compiles_and_whoever_reads(tree: Tree) -> None:
    tree.sweep().run("日本").done(toolworld_scores(0.5))
    text = build_report(tree.write(), ["demo"]).render("latex")
    assert "日 (U+65E5), 本 (U+672C)" in text.splitlines()[1]
    assert "?: a character that this font lacks." in text
    plain = build_report(tree.write(), published_only=True, tables=["T6"]).render("latex")
    assert "printed as ?" not in plain and "?: a" not in plain


def test_equal_means_share_bold_and_the_note_says_so(tree: Tree) -> None:
    for arm, share in (("a", 0.5), ("b", 0.5), ("c", 0.3)):
        for seed in (1, 2, 3):
            tree.sweep().run(arm, seed, reward=arm).done(toolworld_scores(share + 0.02 * seed))
    report = build_report(tree.write(), ["demo"])
    assert report.render("markdown").count("**") == 2 * 2 * 5
    assert "equal means share it" in report.render("markdown")


def test_a_table_longer_than_a_page_goes_on_in_another_float_under_its_number(tree: Tree) -> None:
    for number in range(60):
        tree.sweep().run(f"arm{number}", reward=f"r{number}").done(toolworld_scores(0.5))
    text = build_report(tree.write(), ["demo"]).render("latex")
    first, second = text.split(r"\begin{table*}")[1:]
    arms = [re.findall(r"^arm(\d+) &", part, re.M) for part in (first, second)]
    assert [int(n) for part in arms for n in part] == list(range(60)) and all(arms)
    assert r"\addtocounter{table}{-1}" in second and r"\caption{ToolWorld, continued.}" in second
    assert text.count(r"\label{") == 1


def test_groups_and_the_lines_of_a_row_stay_together_in_latex(tree: Tree) -> None:
    models = ("qwen2.5-1.5b-instruct", "qwen2.5-3b-instruct", "llama-3.2-3b-instruct", "qwen2.5-7b-instruct")
    for model in models:
        for reward in ("original", "equal_max", "two_stage", "dynamic"):
            run = tree.sweep().run(f"{model}-{reward}", model=model, reward=reward, benchmarks=("bfcl",))
            run.done(bfcl_scores(0.4), "bfcl", protocol="bfcl_v3")
    text = build_report(tree.write(), ["demo"], ["T6"], against="paper").render("latex")
    floats = text.split(r"\begin{table*}")[1:]
    assert [part.count(r"\textit{") for part in floats] == [2, 2]


def test_latex_names_its_packages_and_a_wide_table_spans_both_columns_of_a_page(tree: Tree) -> None:
    for seed in (1, 2, 3):
        tree.sweep().run("a", seed).done(toolworld_scores(0.5))
    narrow = tree.root / "narrow.yaml"
    narrow.write_text(
        "{name: narrow, title: N, benchmark: toolworld, columns: [{name: overall, label: All}]}"
    )
    wide, slim = (
        build_report(tree.write(), ["demo"], ["toolworld", str(narrow)]).render("latex").split("\n\n")
    )
    for text, name in ((wide, "table*"), (slim, "table")):
        assert text.startswith(r"% needs \usepackage{booktabs,graphicx}")
        assert rf"\begin{{{name}}}[tbp]" in text and rf"\end{{{name}}}" in text


def test_latex_has_minus_signs_and_keeps_a_number_with_its_percent_sign() -> None:
    assert latex.escape("95 % of -3.77, not 2504-13 or a-1") == r"95~\% of $-$3.77, not 2504-13 or a-1"


def test_a_long_name_is_broken_in_latex(tree: Tree) -> None:
    tree.sweep().run("a-rather-long_name-" * 4).done(toolworld_scores(0.5))
    line = next(x for x in build_report(tree.write(), ["demo"]).render("latex").splitlines() if "rather" in x)
    assert line.startswith(r"\parbox[t]{0.3\linewidth}{\raggedright")
    assert r"a-\allowbreak rather-\allowbreak long\_\allowbreak name" in line


@pytest.mark.parametrize("kind", ["markdown", "latex", "terminal"])
def test_printed_numbers_and_differences_stand_under_ours(paper: Report, kind: str) -> None:
    text = paper.render(kind, width=200)
    for part in ("published", "derived", "difference", "46.20", "45.84", "39.47"):
        assert part in text
    assert "printed under" in text


def test_a_misprint_is_flagged_in_the_cell(tree: Tree) -> None:
    text = build_report(tree.root, tables=["T1"], published_only=True).render("terminal", width=120)
    assert "34.08!" in text
    assert "Qwen2.5-3B-Instruct / SFT4k: impossible: implies 123.6 % non-live irrelevance." in text


def test_a_note_that_holds_for_a_column_is_said_once(paper: Report) -> None:
    text = paper.render("markdown")
    assert text.count("needs live web APIs") == 1


def test_an_unknown_format_is_refused_with_the_nearest_name(report: Report) -> None:
    with pytest.raises(Exception, match="did you mean 'markdown'"):
        report.render("markdwon")


def test_a_table_without_rows_renders_in_every_format(report: Report) -> None:
    empty = replace(report, tables=(replace(report.tables[0], rows=(), notes=()),))
    for kind in FORMATS:
        assert empty.render(kind)
