from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.builder import Tree, toolworld_scores
from toolrl_cli.errors import SpecError
from toolrl_cli.report.api import build_report
from toolrl_cli.report.model import Cell

WANDB = """\
"Name","State","seed","model.name","reward.name","algorithm","train","bfcl/overall","bfcl/live","protocol"
"orig","finished","1","Qwen/Qwen2.5-1.5B-Instruct","original","grpo","rl","0.45","0.60","bfcl_v3"
"orig","finished","2","Qwen/Qwen2.5-1.5B-Instruct","original","grpo","rl","0.47","","bfcl_v3"
"dyn","crashed","1","Qwen/Qwen2.5-1.5B-Instruct","dynamic","grpo","rl","","","bfcl_v3"
"""


def write(folder: Path, text: str, name: str = "runs.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def rows(report_tables: tuple, column: str) -> dict[str, Cell]:
    return {row.label: row.cells[column] for row in report_tables[0].rows}


def test_an_export_of_wandb_fills_the_papers_tables_beside_the_printed_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, WANDB)
    built = build_report(tmp_path, tables=["T6"], against="paper", imports=[path])
    found = rows(built.tables, "overall")
    assert (found["Original"].mean, found["Original"].n) == (46.0, 2)
    assert found["Original"].note == "imported from runs.csv"
    assert found["Original"].printed is not None and found["Original"].printed.derived == 45.84
    assert found["Dynamic"].state == "failed: unknown"
    assert rows(built.tables, "live")["Original"].note.startswith("imported from runs.csv; 1 of 2")


def test_imported_rows_are_marked_in_every_format(tmp_path: Path) -> None:
    built = build_report(tmp_path, tables=["T6"], imports=[write(tmp_path, WANDB)])
    for kind in ("terminal", "markdown", "latex", "csv", "json", "html"):
        assert "imported from runs.csv" in built.render(kind)


def test_imported_arms_stand_beside_our_own_and_are_compared_only_under_one_protocol(tree: Tree) -> None:
    tree.sweep().run("mine").done(toolworld_scores(0.5))
    root = tree.write()
    for protocol, compared in (("toolworld", True), ("", False)):
        path = write(root, f"arm,seed,protocol,toolworld/overall\nmine,1,{protocol},0.6\n")
        table = build_report(root, ["demo"], ["toolworld"], imports=[path]).tables[0]
        found = {row.arm: row.cells["overall"] for row in table.rows}
        assert list(found) == ["mine [demo]", "mine [runs]"]
        assert found["mine [runs]"].best is compared


def test_imported_runs_have_no_curves_and_no_provenance_on_disk(tmp_path: Path) -> None:
    built = build_report(tmp_path, tables=["T6"], imports=[write(tmp_path, WANDB)])
    assert not built.draw(tmp_path / "curves.png")
    assert built.tables[0].rows[0].cells["overall"].sources[0].items == ""


def test_a_percentage_in_the_place_of_a_share_is_marked(tmp_path: Path) -> None:
    path = write(tmp_path, "arm,toolworld/overall\na,46.0\n")
    cell = build_report(tmp_path, tables=["toolworld"], imports=[path]).tables[0].rows[0].cells["overall"]
    assert cell.state == "unreadable"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no column 'arm'"),
        ("x,toolworld/overall\n1,2\n", "has no column 'arm'"),
        ("arm,overall\na,0.5\n", "has no columns BENCHMARK/METRIC"),
        ("arm,toolworld/overall\n", "holds no runs"),
        ("arm,toolworld/overall\na,half\n", r"runs\.csv:2: overall: 'half' is not a number"),
        ("arm,toolworld/overall\n,0.5\n", r"runs\.csv:2: 'arm' is empty"),
        ("arm,seed,toolworld/overall\na,x,0.5\n", "seed 'x' is not a whole number"),
        ("arm,toolworld/overall\na,0.5\na,0.6\n", r"runs\.csv:3: a second run 'a-seed0'"),
        ("arm,toolworld/overall\na,0.5,1\n", "not as many fields"),
        ("arm,seed,toolworld/overall\na,1\n", "not as many fields"),
        ("arm,State,toolworld/overall\na,dancing,1\n", "unknown State 'dancing'"),
    ],
)
def test_a_faulty_import_is_refused_with_file_and_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        build_report(tmp_path, imports=[write(tmp_path, text)])


def test_a_missing_or_binary_import_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be read"):
        build_report(tmp_path, imports=[tmp_path / "no.csv"])
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00arm")
    with pytest.raises(SpecError, match="cannot be read"):
        build_report(tmp_path, imports=[tmp_path / "bad.csv"])
