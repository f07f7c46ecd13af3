"""What is in a sweep or an import is in some table, or is said to be in none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.builder import Tree, bfcl_scores, toolworld_scores
from toolrl_cli.errors import SpecError
from toolrl_cli.report.api import build_report

MINE = "name: mine\ntitle: M\nbenchmark: bfcl\ncolumns: [{name: overall, label: O}]\n"


def imported(folder: Path, text: str) -> Path:
    path = folder / "runs.csv"
    path.write_text(text)
    return path


def test_an_imported_benchmark_has_a_table_beside_those_that_a_sweep_names(tree: Tree) -> None:
    tree.sweep("demo", ["toolworld"]).run("a").done(toolworld_scores(0.5))
    root = tree.write()
    built = build_report(root, ["demo"], imports=[imported(root, "arm,seed,bfcl/overall\nb,1,0.5\n")])
    assert [table.name for table in built.tables] == ["toolworld", "bfcl"]


def test_a_sweep_that_names_no_table_keeps_its_own_beside_one_that_does(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINE)
    tree.sweep("g", [str(tmp_path / "mine.yaml")]).run("a", benchmarks=("bfcl",)).done(
        bfcl_scores(0.5), "bfcl"
    )
    tree.sweep("tw").run("b").done(toolworld_scores(0.5))
    root = tree.write()
    assert [table.name for table in build_report(root, ["g", "tw"]).tables] == ["mine", "toolworld"]


def test_a_field_of_a_known_benchmark_that_no_table_reads_is_named(tmp_path: Path) -> None:
    built = build_report(tmp_path, imports=[imported(tmp_path, "arm,seed,toolworld/overal\na,1,0.5\n")])
    (told,) = built.faults
    assert "no table reads 'toolworld/overal' (did you mean 'toolworld/overall'" in told


@pytest.mark.parametrize("field", ["Seed", "Protocol", "Model"])
def test_a_field_in_another_case_is_refused_and_not_ignored(tmp_path: Path, field: str) -> None:
    with pytest.raises(SpecError, match=f"the field '{field}' is not read .name it '{field.lower()}'"):
        build_report(tmp_path, imports=[imported(tmp_path, f"arm,{field},toolworld/overall\na,1,0.5\n")])


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"x": "toolworld/overal"}, "no table reads 'toolworld/overal'"),
        (
            {"x": "toolworld/overall", "y": "toolworld/overall"},
            "two fields are mapped to 'toolworld/overall'",
        ),
    ],
)
def test_a_map_that_leads_nowhere_or_twice_to_one_place_is_refused(
    tmp_path: Path, columns: dict[str, str], told: str
) -> None:
    with pytest.raises(SpecError, match=told):
        build_report(tmp_path, imports=[imported(tmp_path, "arm,x,y\na,0.5,0.6\n")], columns=columns)
