from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.report.builder import Tree, toolworld_scores
from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.report.api import build_report


def filled(tree: Tree, name: str = "demo", tables: tuple[str, ...] = ()) -> Path:
    for seed in (1, 2, 3):
        run = tree.sweep(name, tables).run("grpo", seed).done(toolworld_scores(0.5 + 0.01 * seed))
        run.learned(-1, 2).items({"parallel": {"i1": True}})
        tree.sweep(name, tables).run("later", seed, reward="coarse").failed("rl", "oom")
    return tree.write()


def test_the_written_report_holds_every_format_the_curves_and_the_provenance(tree: Tree) -> None:
    root = filled(tree)
    folder = root / "sweeps" / "demo" / "report"
    written = build_report(root, ["demo"]).write_report(folder)
    assert sorted(p.name for p in written) == sorted(p.name for p in folder.iterdir())
    assert {p.name for p in written} == {
        "toolworld.md", "toolworld.csv", "toolworld.json", "toolworld.tex", "toolworld.provenance.json",
        "claims.md", "claims.json", "report.html", "curves.png", "curves.pdf", "curves.svg",
    }  # fmt: skip


def test_all_arms_of_a_table_are_drawn_as_bars_and_those_without_a_value_named(
    tree: Tree, tmp_path: Path
) -> None:
    tree.sweep().run("raw", train=()).done(toolworld_scores(0.3))
    build_report(filled(tree), ["demo"]).write_report(tmp_path, figures=("svg",))
    text = (tmp_path / "toolworld.svg").read_text()
    assert "<!-- raw" in text and "<!-- grpo" in text and "No value yet: later (failed: oom)" in text


def test_writing_twice_gives_the_same_bytes(tree: Tree) -> None:
    root = filled(tree)
    folder = root / "report"
    build_report(root, ["demo"]).write_report(folder, figures=("png",))
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    build_report(root, ["demo"]).write_report(folder, figures=("png",))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_what_an_earlier_report_left_in_the_folder_is_named_and_kept(
    tree: Tree, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = filled(tree)
    build_report(root, ["demo"], ["toolworld", "T6"]).write_report(tmp_path, figures=("png", "svg"))
    (tmp_path / "paper.tex").write_text("the user's own")
    build_report(root, ["demo"], ["toolworld"]).write_report(tmp_path, figures=("png",))
    assert caplog.messages == [
        f"{tmp_path}: curves.svg, t6.csv, t6.json, t6.md and 2 more: of an earlier report, and not of this one"
    ]
    assert (tmp_path / "t6.tex").is_file()


def test_the_provenance_leads_from_each_cell_to_runs_seeds_checkpoints_and_items(tree: Tree) -> None:
    root = filled(tree)
    build_report(root, ["demo"]).write_report(root / "report", figures=())
    side = json.loads((root / "report" / "toolworld.provenance.json").read_text())
    cell = next(c for c in side["cells"] if (c["arm"], c["column"]) == ("grpo", "overall"))
    assert [v["seeds"] for v in cell["values"]] == [[1], [2], [3]]
    for value in cell["values"]:
        assert value["step"] == 25
        assert (root / value["items"]).is_file()
        assert (root / "stages" / "evaluate" / value["evaluation"] / "output" / "scores.json").is_file()
    failed = next(c for c in side["cells"] if c["arm"] == "later")
    assert {v["state"] for v in failed["values"]} == {"failed: oom"}


def test_tables_default_to_those_the_sweep_names(tree: Tree) -> None:
    assert [t.name for t in build_report(filled(tree, tables=("T6",)), ["demo"]).tables] == ["T6"]


def test_tables_default_to_those_of_the_benchmarks_that_ran(tree: Tree) -> None:
    assert [t.name for t in build_report(filled(tree), ["demo"]).tables] == ["toolworld"]


def test_no_sweep_named_means_all_of_them(tree: Tree) -> None:
    filled(tree, "one")
    root = filled(tree, "two")
    assert [s.name for s in build_report(root).sweeps] == ["one", "two"]


def test_without_sweeps_there_is_one_clear_fault(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there are no sweeps"):
        build_report(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"sweeps": ["dmeo"]}, "no sweep 'dmeo'.*did you mean 'demo'"),
        ({"tables": ["T66"]}, "unknown table 'T66'.*did you mean 'T6'"),
        ({"against": "papr"}, "did you mean 'paper'"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest_one(
    tree: Tree, arguments: dict[str, object], told: str
) -> None:
    with pytest.raises(SpecError, match=told):
        build_report(filled(tree), **arguments)  # type: ignore[arg-type]


def test_two_tables_of_one_name_are_refused(tree: Tree) -> None:
    with pytest.raises(SpecError, match="two tables are named 'T6'"):
        build_report(filled(tree), ["demo"], ["T6", "t6"])


def test_a_folder_that_cannot_be_written_is_one_clear_fault(tree: Tree) -> None:
    root = filled(tree)
    (root / "report").write_text("in the way")
    with pytest.raises(LedgerError, match="cannot be written"):
        build_report(root, ["demo"]).write_report(root / "report")


def test_importing_the_report_loads_nothing_heavy() -> None:
    code = (
        "import sys, toolrl_cli.report.api;"
        "print([m for m in ('numpy', 'scipy', 'pandas', 'matplotlib', 'torch', 'verl', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reports_written_to_one_folder_at_once_all_succeed_and_leave_whole_files(tree: Tree) -> None:
    tree.sweep().run("a").done(toolworld_scores(0.5)).learned(0.1, 0.8)
    report = build_report(tree.write(), ["demo"])
    target = tree.root / "out"
    with ThreadPoolExecutor(8) as pool:
        written = [f.result() for f in [pool.submit(report.write_report, target, ()) for _ in range(24)]]
    assert all(paths == written[0] for paths in written)
    assert sorted(target.iterdir()) == sorted(written[0])  # nothing half-made is left
    assert (target / "report.html").read_text().rstrip().endswith("</html>")
