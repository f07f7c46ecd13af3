from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.builder import Tree, bfcl_scores
from toolrl_cli.errors import SpecError
from toolrl_cli.report.against import published_table
from toolrl_cli.report.api import build_report
from toolrl_cli.report.model import Cell
from toolrl_cli.report.table_spec import load_table


def t6(tree: Tree, protocol: str, against: str = "paper", overall: float = 0.5) -> dict[str, Cell]:
    run = tree.sweep().run("x", model="qwen2.5-1.5b-instruct", benchmarks=("bfcl",))
    run.done(bfcl_scores(overall), "bfcl", protocol=protocol)
    table = build_report(tree.write(), ["demo"], ["T6"], against=against).tables[0]
    return dict(table.rows[0].cells)


def test_ours_stands_beside_the_printed_number_with_the_difference(tree: Tree) -> None:
    cell = t6(tree, "bfcl_v3")["live"]
    assert cell.mean == 70.0
    assert cell.printed is not None
    assert (cell.printed.value, cell.printed.difference, cell.printed.refusal) == (60.73, 9.27, "")


def test_across_protocols_the_difference_is_to_the_derived_value_and_says_so(tree: Tree) -> None:
    printed = t6(tree, "bfcl_v3")["overall"].printed
    assert printed is not None
    assert "printed under bfcl_v3_exec and ours scored under bfcl_v3" in printed.refusal
    assert (printed.value, printed.derived, printed.derived_error) == (46.2, 45.84, 0.05)
    assert printed.difference == 4.16


def test_under_v4_there_is_neither_difference_nor_derived_value(tree: Tree) -> None:
    for cell in t6(tree, "bfcl_v4").values():
        assert cell.printed is not None
        assert (cell.printed.difference, cell.printed.derived) == (None, None)
        assert cell.mean is None or "bfcl_v4" in cell.printed.refusal


def test_with_exec_the_printed_overall_is_compared_as_it_stands(tree: Tree) -> None:
    printed = t6(tree, "bfcl_v3_exec")["overall"].printed
    assert printed is not None
    assert (printed.difference, printed.refusal) == (3.8, "")


def test_the_printed_number_stands_where_ours_is_missing(tree: Tree) -> None:
    tree.sweep().run("x", model="qwen2.5-1.5b-instruct", benchmarks=("bfcl",)).failed("rl", "oom")
    table = build_report(tree.write(), ["demo"], ["T6"], against="paper").tables[0]
    cell = table.rows[0].cells["overall"]
    assert cell.state == "failed: oom"
    assert cell.printed is not None and cell.printed.value == 46.2 and cell.printed.difference is None


def test_models_bear_the_name_that_was_printed(tree: Tree) -> None:
    tree.sweep().run("x", model="qwen2.5-1.5b-instruct", benchmarks=("bfcl",))
    table = build_report(tree.write(), ["demo"], ["T6"], against="paper").tables[0]
    assert table.groups == ["Qwen2.5-1.5B-Instruct"]


def test_a_row_that_cannot_be_right_is_no_target(tree: Tree) -> None:
    run = tree.sweep().run("sft", train=("sft",), model="qwen2.5-3b-instruct", benchmarks=("bfcl",))
    run.done(bfcl_scores(0.4), "bfcl", protocol="bfcl_v3_exec")
    table = build_report(tree.write(), ["demo"], ["T1"], against="paper").tables[0]
    row = next(r for r in table.rows if r.label == "SFT400")
    for cell in row.cells.values():
        assert cell.printed is not None
        assert cell.printed.difference is None
        assert cell.printed.mark.startswith("impossible")


def test_of_a_misprint_the_difference_is_to_what_it_must_have_been(tree: Tree) -> None:
    run = tree.sweep().run("x", train=("sft", "rl"), model="llama-3.2-3b-instruct", benchmarks=("api_bank",))
    run.done({"level_1": 0.65}, "api_bank")
    table = build_report(tree.write(), ["demo"], ["T2"], against="paper").tables[0]
    printed = next(r for r in table.rows if r.label == "SFT400+GRPO").cells["level_1"].printed
    assert printed is not None
    assert (printed.value, printed.difference, printed.mark) == (63.6, 1.34, "misprint: 254 of 399 is 63.66")


def test_a_table_that_was_never_printed_says_so(tree: Tree) -> None:
    tree.sweep().run("x").done({"overall": 0.5})
    table = build_report(tree.write(), ["demo"], ["toolworld"], against="paper").tables[0]
    assert any(n.startswith("Nothing that 'paper' published belongs in this table") for n in table.notes)


def test_a_source_that_printed_other_models_alone_says_so(tree: Tree) -> None:
    run = tree.sweep().run("cold", model="qwen2.5-3b-instruct", benchmarks=("bfcl",))
    run.done(bfcl_scores(0.5), "bfcl", protocol="bfcl_v3")
    table = build_report(tree.write(), ["demo"], ["T1"], against="gdpo").tables[0]
    assert "What 'gdpo' published of this table (on Qwen2.5-1.5B-Instruct) fits no row here." in table.notes


@pytest.mark.parametrize(
    ("name", "count"), [("T1", 28), ("T2", 28), ("T5", 9), ("T6", 12), ("T12", 20), ("CR7", 3)]
)
def test_the_printed_table_alone_has_all_its_rows(name: str, count: int) -> None:
    table = published_table(load_table(name), "paper")
    assert len(table.rows) == count
    assert all(c.printed and c.mean is None for r in table.rows for c in r.cells.values())


def test_in_the_printed_table_best_goes_by_the_printed_digits_and_spares_impossible_rows() -> None:
    table = published_table(load_table("T1"), "paper")
    best = [r.arm for r in table.rows if r.cells["overall"].best]
    assert best == [
        "Qwen2.5-1.5B-Instruct / GRPO Cold Start",
        "Qwen2.5-3B-Instruct / GRPO Cold Start",
        "Qwen2.5-7B-Instruct / GRPO Cold Start",
        "Llama-3.2-3B-Instruct / SFT4k",
    ]
    impossible = [r for r in table.rows if r.arm == "Qwen2.5-3B-Instruct / SFT4k"]
    assert not any(c.best or c.second for r in impossible for c in r.cells.values())


def test_published_numbers_need_no_results(tmp_path: Path) -> None:
    report = build_report(tmp_path / "nowhere", tables=["T6"], published_only=True)
    assert '"published": 46.2' in report.render("json")
    everything = build_report(tmp_path / "nowhere", published_only=True)
    assert len(everything.tables) == 13


def test_a_table_that_was_never_printed_cannot_be_printed_alone() -> None:
    with pytest.raises(SpecError, match="table 'toolworld' was never printed"):
        published_table(load_table("toolworld"), "paper")


def test_a_source_that_printed_nothing_of_a_table_is_refused_with_those_that_did() -> None:
    with pytest.raises(SpecError, match="'nyu' printed nothing of table T6"):
        published_table(load_table("T6"), "nyu")
