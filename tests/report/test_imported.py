from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.report.builder import Tree, toolworld_scores
from toolrl_cli.errors import Mistakes, SpecError
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


def test_blanks_around_names_and_cells_do_not_count(tmp_path: Path) -> None:
    text = """arm,seed,reward,toolworld/overall,toolworld/parallel
a,1,original,0.5,0.2
"b, too",2,coarse,0.6,0.4
"""
    plain = build_report(tmp_path, imports=[write(tmp_path, text)])
    spaced = build_report(
        tmp_path, imports=[write(tmp_path, text.replace(",", ", ").replace("b,  too", "b, too"))]
    )
    assert [run.seed for sweep in spaced.sweeps for run in sweep.runs] == [1, 2]
    assert spaced.to_json() == plain.to_json()
    assert [row.cells["parallel"].mean for row in spaced.tables[0].rows] == [20.0, 40.0]


def test_imported_rows_are_marked_in_every_format(tmp_path: Path) -> None:
    built = build_report(tmp_path, tables=["T6"], imports=[write(tmp_path, WANDB)])
    for kind in ("terminal", "markdown", "latex", "csv", "json", "html"):
        assert "imported from runs.csv" in built.render(kind)


def test_imported_arms_stand_beside_our_own_and_are_compared_only_under_one_protocol(tree: Tree) -> None:
    for seed in (1, 2, 3):
        tree.sweep().run("mine", seed).done(toolworld_scores(0.5))
    root = tree.write()
    for protocol, compared in (("toolworld", True), ("", False)):
        lines = "".join(f"mine,{seed},{protocol},0.6\n" for seed in (1, 2, 3))
        path = write(root, f"arm,seed,protocol,toolworld/overall\n{lines}")
        table = build_report(root, ["demo"], ["toolworld"], imports=[path]).tables[0]
        found = {row.arm: row.cells["overall"] for row in table.rows}
        assert list(found) == ["mine [demo]", "mine [runs]"]
        assert found["mine [runs]"].best is compared


def test_imported_runs_have_no_curves_and_no_provenance_on_disk(tmp_path: Path) -> None:
    built = build_report(tmp_path, tables=["T6"], imports=[write(tmp_path, WANDB)])
    assert not built.draw(tmp_path / "curves.png")
    assert built.tables[0].rows[0].cells["overall"].sources[0].items == ""


def test_every_mistake_of_a_file_is_told_with_its_row_and_column(tmp_path: Path) -> None:
    text = """\
arm,seed,State,toolworld/overall,bamboogle/avg_tool_calls
a,1,finished,0.5,1.6
a,one,finished,46.0,1.6
,2,finished,half,few
a,1.5,dancing,0.5,
a,3
a,1,finished,0.5,
"""
    with pytest.raises(Mistakes) as refused:
        build_report(tmp_path, imports=[write(tmp_path, text)])
    assert [str(f).removeprefix(f"{tmp_path}/runs.csv:") for f in refused.value.faults] == [
        "6: has not as many fields as the header (quote fields that hold commas)",
        "3, seed: 'one' is not a whole number",
        "3, toolworld/overall: 46.0 is no share from 0 to 1 (divide percentages by 100)",
        "4, arm: is empty (name the arm)",
        "4, toolworld/overall: 'half' is not a number (leave it empty where there is none)",
        "4, bamboogle/avg_tool_calls: 'few' is not a number (leave it empty where there is none)",
        "5, seed: '1.5' is not a whole number",
        "5, State: unknown state 'dancing' (one of finished, running, pending, failed, crashed, killed, preempting,"
        " preempted)",
        "7: a second run 'a-seed1' (give every run of an arm its seed)",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no field 'arm'"),
        ("x,toolworld/overall\n1,2\n", "has no field 'arm'"),
        ("arm,overall\na,0.5\n", "has no fields BENCHMARK/METRIC"),
        ("arm,toolworld/overall\n", "holds no runs"),
        (
            "arm,ToolWorld/Overall\na,0.5\n",
            "no table reads 'ToolWorld/Overall'.*name the field 'toolworld/overall'",
        ),
        ("arm,toolworld/overall.max\na,0.5\n", "no table reads 'toolworld/overall.max'"),
        ("arm,toolworld/overall\na,half\n", r"runs\.csv:2, toolworld/overall: 'half' is not a number"),
        ("arm,toolworld/overall\n,0.5\n", r"runs\.csv:2, arm: is empty"),
        ("arm,seed,toolworld/overall\na,x,0.5\n", "2, seed: 'x' is not a whole number"),
        ("arm,toolworld/overall\na,0.5\na,0.6\n", r"runs\.csv:3: a second run 'a-seed0'"),
        ("arm,toolworld/overall\na,0.5,1\n", "not as many fields"),
        ("arm,seed,toolworld/overall\na,1\n", "not as many fields"),
        ("arm,seed,toolworld/overall,seed\na,1,0.5,2\n", r"runs\.csv:1: has 'seed' twice"),
        ("arm;toolworld/overall\na;0,5\n", "separate fields by commas, not by ';'"),
        ("arm,State,toolworld/overall\na,dancing,1\n", "2, State: unknown state 'dancing'"),
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


API = [
    {
        "name": f"grpo-seed{seed}",
        "state": "finished",
        "config": {
            "arm": "grpo",
            "seed": seed,
            "model": {"name": "Qwen/Qwen2.5-1.5B-Instruct"},
            "train": "rl",
            "algorithm": "grpo",
            "reward": {"name": "original"},
            "protocol": "bfcl_v3",
        },
        "summary": {
            "bfcl/overall": 0.4 + 0.01 * seed,
            "critic/score/mean": float("nan"),
            "_wandb": {"runtime": 3},
        },
    }
    for seed in (1, 2, 3)
]


def as_documented_csv(runs: list[dict]) -> str:
    """What the snippet of W&B's documentation writes with pandas: dictionaries as Python prints them."""
    out = io.StringIO()
    writer = csv.DictWriter(out, ["summary", "config", "name"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(runs)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runs.json", json.dumps(API)),
        ("runs.json", json.dumps({"runs": API})),
        ("runs.jsonl", "".join(json.dumps(run) + "\n" for run in API)),
        ("runs.csv", as_documented_csv(API)),
    ],
)
def test_what_wandbs_api_gives_is_read_in_every_form(tmp_path: Path, name: str, text: str) -> None:
    built = build_report(tmp_path, tables=["T6"], against="paper", imports=[write(tmp_path, text, name)])
    cell = rows(built.tables, "overall")["Original"]
    assert (cell.mean, cell.n, cell.ci) == (42.0, 3, 2.48)
    assert cell.note == f"imported from {name}"
    assert cell.printed is not None and cell.printed.difference == -3.84


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path, WANDB)
    twice = build_report(tmp_path, tables=["T6"], imports=[path, path])
    assert twice.to_json() == build_report(tmp_path, tables=["T6"], imports=[path]).to_json()


def test_the_export_of_our_own_runs_fills_the_same_rows(tmp_path: Path) -> None:
    config = {
        "arm": "warm", "seed": 1,
        "sft": {"sft": {"split": "train"}},
        "rl": {"algorithm": "grpo", "reward": {"name": "original"}, "model": {"name": "qwen2.5-3b-instruct"}},
        "evaluate": {"benchmark": "bfcl", "model": {"name": "qwen2.5-3b-instruct"}},
    }  # fmt: skip
    run = {"name": "warm-seed1", "config": config, "summary": {"bfcl/overall": 0.5}}
    path = write(tmp_path, json.dumps([run]), "own.json")
    table = build_report(tmp_path, tables=["T10"], imports=[path]).tables[0]
    assert {r.label: r.cells["overall"].mean for r in table.rows if r.cells["overall"].n} == {
        "SFT4k+GRPO": 50.0
    }


def test_curves_of_an_export_are_no_benchmarks(tmp_path: Path) -> None:
    text = "Name,seed,actor/entropy,rollout/table,toolworld/overall\na,1,NaN,table-file,0.5\n"
    (table,) = build_report(tmp_path, imports=[write(tmp_path, text)]).tables
    assert table.name == "toolworld" and table.rows[0].cells["overall"].mean == 50.0


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.json", "", "a.json: holds no runs"),
        ("a.json", "[1]", "a.json: run 1: is no run"),
        ("a.json", "[]", "a.json: holds no runs"),
        ("a.json", '"x"', "is no list of runs"),
        ("a.json", '[{"arm": "a"', "a.json: is not JSON"),
        (
            "a.json",
            '[{"arm": "a", "toolworld/overall": "half"}]',
            "run 1, toolworld/overall: 'half' is not a number",
        ),
        ("a.json", '[{"seed": 1, "toolworld/overall": 0.5}]', "has no field 'arm'"),
        ("a.csv", "name,config,summary\na,{,{}\n", "a.csv:2: config is no dictionary"),
    ],
)
def test_a_faulty_export_is_refused_in_one_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(SpecError, match=told) as refused:
        build_report(tmp_path, imports=[write(tmp_path, text, name)])
    assert "\n" not in str(refused.value)


HOSTILE = '"a\nb | c \x1b[2J\u202e",1,0.5\n'


def test_arm_names_are_cleaned_as_a_sweeps_are_and_the_given_one_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, f"arm,seed,toolworld/overall\n{HOSTILE}")
    built = build_report(tmp_path, imports=[path])
    assert [row.arm for row in built.tables[0].rows] == ["a-b-c-2J"]
    for kind in ("terminal", "markdown", "latex", "csv", "json", "html"):
        text = built.render(kind)
        assert "\x1b" not in text and "\u202e" not in text and "a-b-c-2J" in text
    assert "where it is 'a\\\\nb | c" in built.render("json")


def test_two_names_that_are_one_when_cleaned_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "arm,seed,toolworld/overall\na b,1,0.5\na-b,2,0.5\n")
    with pytest.raises(SpecError, match="'a-b' and 'a b' are both 'a-b' as arms"):
        build_report(tmp_path, imports=[path])


def test_a_field_can_be_mapped_to_a_column(tmp_path: Path) -> None:
    path = write(tmp_path, "Name,seed,quant_test_acc,actor/entropy\na,1,0.5,0.1\n")
    built = build_report(tmp_path, imports=[path], columns={"quant_test_acc": "toolworld/overall"})
    assert [(t.name, t.rows[0].cells["overall"].mean) for t in built.tables] == [("toolworld", 50.0)]
    for columns, told in (
        (
            {"quant_tst_acc": "toolworld/overall"},
            "has no field 'quant_tst_acc' .did you mean 'quant_test_acc'",
        ),
        ({"quant_test_acc": "overall"}, "'overall' is no BENCHMARK/METRIC"),
        ({"quant_test_acc": "actor/entropy"}, "has a field 'actor/entropy' already"),
    ):
        with pytest.raises(SpecError, match=told):
            build_report(tmp_path, imports=[path], columns=columns)


@pytest.mark.parametrize("order", [("crashed,0.1", "finished,0.5"), ("finished,0.5", "crashed,")])
def test_of_a_crashed_run_and_its_rerun_the_finished_one_counts(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    lines = "".join(f"a,1,{one}\n" for one in order)
    built = build_report(tmp_path, imports=[write(tmp_path, f"arm,seed,State,toolworld/overall\n{lines}")])
    cell = built.tables[0].rows[0].cells["overall"]
    assert (cell.mean, cell.n, cell.planned) == (50.0, 1, 1)


def test_of_a_crashed_run_and_its_rerun_the_later_one_is_told_while_neither_has_finished(
    tmp_path: Path,
) -> None:
    text = "arm,seed,State,toolworld/overall\na,1,crashed,0.1\na,1,running,\n"
    built = build_report(tmp_path, imports=[write(tmp_path, text)])
    assert built.tables[0].rows[0].cells["overall"].state.startswith("running")


def test_the_export_of_a_chart_is_recognised(tmp_path: Path) -> None:
    text = '"Step","grpo-seed1 - reward/total/mean","grpo-seed1 - reward/total/mean__MIN"\n1,0.5,0.5\n'
    with pytest.raises(SpecError, match=r"is the export of a chart.*export the table of runs"):
        build_report(tmp_path, imports=[write(tmp_path, text)])


def test_ones_own_scores_join_the_row_of_their_arm(tree: Tree) -> None:
    for seed in (1, 2, 3):
        tree.sweep().run("grpo", seed).done(toolworld_scores(0.5))
    root = tree.write()
    lines = "".join(f"grpo,{seed},0.{seed}\n" for seed in (1, 2, 3))
    path = write(root, f"arm,seed,mine/accuracy\n{lines}")
    toolworld, mine = build_report(root, ["demo"], imports=[path]).tables
    assert [(row.arm, row.cells["overall"].n) for row in toolworld.rows] == [("grpo", 3)]
    assert [(row.arm, row.cells["accuracy"].mean) for row in mine.rows] == [("grpo", 20.0)]
    assert mine.rows[0].cells["accuracy"].note == "imported from runs.csv"
