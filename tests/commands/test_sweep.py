"""Running a sweep and looking at it, with stages of no work."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path

import pytest

from tests.commands.conftest import Toolrl
from tests.support.model_folders import write_model
from tests.support.stages import eventually
from toolrl_cli.log import LOG
from toolrl_cli.store.sweep_folder import SweepFolder

STAGES = 2 + 1 + 2 * 3  # base model, raw's evaluation, and rl, export, evaluation of two arms


def test_a_sweep_runs_what_is_owed_and_then_nothing(toolrl: Toolrl, sweep_file: Path, tmp_path: Path) -> None:
    first = toolrl("sweep", "small.yaml")
    assert first.code == 0, first.err
    assert f"{STAGES} of {STAGES} stages owed" in first.err
    assert "Overall" in first.out and "100" in first.out
    states = {p: p.read_bytes() for p in tmp_path.glob("results/stages/*/*/state.json")}
    assert len(states) == STAGES

    second = toolrl("sweep", "small.yaml")
    assert second.code == 0
    assert f"nothing to do, all {STAGES} stages are done" in second.err
    assert second.out == first.out
    assert {p: p.read_bytes() for p in states} == states


def test_equal_stages_of_two_sweeps_are_run_once(swept: Toolrl, sweep_file: Path) -> None:
    Path("other.yaml").write_text(sweep_file.read_text().replace("name: small", "name: other"))
    assert "nothing to do" in swept("sweep", "other.yaml").err


def test_a_sweep_whose_stages_were_all_there_is_told_too(
    swept: Toolrl, sweep_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    Path("other.yaml").write_text(sweep_file.read_text().replace("name: small", "name: other"))
    assert "W&B: offline" in swept("sweep", "other.yaml").err
    eventually(lambda: len(list(tmp_path.glob("results/wandb/offline-run-*-other-*"))) == 3)
    eventually(lambda: "ended" in (tmp_path / "results/sweeps/other/wandb_status.json").read_text())
    assert "W&B" not in swept("sweep", "other.yaml").err


def test_only_limits_what_runs_and_the_table_shows_the_rest_as_missing(
    toolrl: Toolrl, sweep_file: Path
) -> None:
    answer = toolrl("sweep", "small.yaml", "--only", "coarse")
    assert answer.code == 0
    rows = {line.split()[0]: line for line in answer.out.splitlines() if line.strip()}
    assert "100" in rows["coarse"]
    assert "–" in rows["original"]


def test_a_failed_stage_gives_exit_status_1_and_runs_again_when_asked_again(
    toolrl: Toolrl, sweep_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_FAILS", "grpo-tiny-coarse")
    failed = toolrl("sweep", "small.yaml")
    assert failed.code == 1
    assert "failed: config: the rate is too high" in failed.err
    assert "failed" in failed.out and "config" in failed.out
    status = toolrl("status", "small", "--json").json
    (stage,) = [s for s in status["stages"] if s["status"] == "failed"]
    assert stage["failure"]["class"] == "config" and stage["attempt"] == 1

    monkeypatch.setenv("TEST_FAILS", "nothing")
    assert toolrl("sweep", "small.yaml").code == 0
    status = toolrl("status", "small", "--json").json
    assert {s["id"]: s["attempt"] for s in status["stages"]}[stage["id"]] == 2


def test_a_dry_run_runs_nothing(toolrl: Toolrl, sweep_file: Path, tmp_path: Path) -> None:
    answer = toolrl("sweep", "small.yaml", "--dry-run", "--json")
    assert answer.code == 0
    assert all(stage["owed"] for stage in answer.json["stages"])
    assert not (tmp_path / "results").exists()


def test_plan_json_has_the_stable_keys(toolrl: Toolrl, sweep_file: Path) -> None:
    document = toolrl("plan", "small.yaml", "--json").json
    assert document["schema"] == 1 and document["sweep"] == "small"
    assert [set(run) for run in document["runs"]] == [{"id", "arm", "seed", "stages"}] * 3
    keys = {"id", "kind", "status", "owed", "reason", "inputs", "estimate", "drift"}
    assert all(set(s) == keys for s in document["stages"])
    assert set(document) == {"schema", "sweep", "runs", "stages", "totals", "limits", "drift"}


def test_csv_and_json_of_a_report_agree_to_the_last_digit(swept: Toolrl) -> None:
    table = swept("report", "small", "--json").json["tables"][0]
    rows = list(csv.DictReader(io.StringIO(swept("report", "small", "--format", "csv").out)))
    by_arm = {row["arm"]: row["cells"] for row in table["rows"]}
    assert {row["arm"] for row in rows} == set(by_arm)
    for row in rows:
        cell = by_arm[row["arm"]][row["column"]]
        assert float(row["mean"]) == cell["mean"] and int(row["n"]) == cell["n"]


def test_a_sweep_goes_on_by_its_name_from_any_folder(
    toolrl: Toolrl, sweep_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    toolrl("sweep", "small.yaml", "--only", "raw")
    sweep_file.unlink()
    answer = toolrl("resume", "small")
    assert answer.code == 0, answer.err
    assert all(s["status"] == "succeeded" for s in toolrl("status", "--json").json["stages"])
    assert (tmp_path / "results/sweeps/small/sweep.yaml").is_file()


def test_a_run_is_shown_with_its_stages_and_logs(swept: Toolrl) -> None:
    document = swept("show", "coarse-seed1", "--json").json
    assert [s["kind"] for s in document["stages"]] == ["sft", "export", "rl", "export", "evaluate"]
    assert document["stages"][2]["config"]["reward"]["name"] == "coarse"
    assert document["stages"][2]["environment"]["versions"]["verl"] == "0.9.1"
    assert swept("show", "coarse-seed1").code == 0
    assert swept("logs", "coarse-seed1").code == 0
    assert "no run 'coarse' (an arm; its runs: coarse-seed1)" in swept("show", "coarse").err
    assert swept("stop", "small").err.strip() == "small: nothing runs"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sweep", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["plan", "small.yaml", "--only", "coars"], "did you mean 'coarse'?"),
        (["plan", "small.yaml", "--set", "tables=[toolword]"], "did you mean 'toolworld'?"),
        (["plan", "small.yaml", "--set", "data={kind: rlla}"], "data.path"),
        (["plan", "small.yaml", "--set", "model=./no-such-folder"], "no such model folder"),
        (["sweep", "small.yaml", "--launcher", "slrum"], "unknown launcher 'slrum'"),
        (["sweep", "small.yaml", "--wandb", "onlin"], "unknown W&B mode 'onlin'"),
        (["status", "smal"], "no sweep 'smal'"),
        (["report", "smal"], "smal"),
        (["show", "nobody"], "no run 'nobody'"),
        (["logs", "nobody"], "no run 'nobody'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    toolrl: Toolrl, sweep_file: Path, arguments: list[str], says: str
) -> None:
    answer = toolrl(*arguments)
    assert answer.code == 2, answer
    assert answer.err.startswith("error: ") and answer.err.count("\n") == 1
    assert says in answer.err


def test_a_results_root_that_cannot_be_written_is_named(
    toolrl: Toolrl, sweep_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    answer = toolrl("sweep", "small.yaml", "--results", str(tmp_path / "file"))
    assert answer.code == 2
    assert str(tmp_path / "file") in answer.err and answer.err.count("\n") == 1


def test_a_model_folder_without_a_tokenizer_is_refused_before_anything_runs(
    toolrl: Toolrl, sweep_file: Path, tmp_path: Path
) -> None:
    (write_model(tmp_path / "model") / "tokenizer.json").unlink()
    answer = toolrl("plan", "small.yaml", "--set", f"model={tmp_path}/model")
    assert answer.code == 2 and "has no tokenizer" in answer.err


def test_debug_shows_the_trace_back(toolrl: Toolrl) -> None:
    from toolrl_cli.errors import SpecError

    with pytest.raises(SpecError):
        toolrl("sweep", "nowhere.yaml", "--debug")


def test_a_sweep_whose_reader_has_gone_runs_to_its_end(
    toolrl: Toolrl, sweep_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as gone:
        # as `toolrl sweep … 2>&1 | head -1` leaves it once the first line is out
        said = []

        def told(line: str, *values: object) -> None:
            said.append(line)
            if len(said) == 1:
                os.close(reader)

        monkeypatch.setattr(LOG, "info", told)
        monkeypatch.setattr(sys, "stderr", gone)
        assert toolrl("sweep", "small.yaml", "--only", "raw").code == 0
    states = (tmp_path / "results/stages").glob("*/*/state.json")
    assert [json.loads(path.read_text())["status"] for path in states] == ["succeeded"] * 3


def test_a_plan_that_takes_the_place_of_one_at_work_says_so(swept: Toolrl) -> None:
    with SweepFolder(Path("results").absolute(), "small").attended(["rl-of-an-earlier-plan"]):
        answer = swept("sweep", "small.yaml")
    assert answer.code == 0
    assert "warning: small: a harness at work follows an earlier plan; what it needs" in answer.err
    assert "(stages: 1); `toolrl stop small` ends it" in answer.err
    assert "earlier plan" not in swept("sweep", "small.yaml").err


def test_another_file_of_the_same_name_does_not_take_its_runs_from_the_tables_in_silence(
    swept: Toolrl,
) -> None:
    text = Path("small.yaml").read_text(encoding="utf-8")
    Path("other.yaml").write_text(text, encoding="utf-8")
    assert "no longer in its tables" not in swept("sweep", "other.yaml").err
    answer = swept("sweep", "other.yaml", "--set", 'arms={"raw": {"train": []}}')
    assert answer.code == 0 and "warning: small: no longer in its tables" in answer.err
    assert (
        "coarse-seed1, original-seed1;" in answer.err and "(another `name:` keeps both plans)" in answer.err
    )
    swept("sweep", "small.yaml")
    answer = swept("sweep", "other.yaml", "--set", "rl.lr=3e-5")
    assert "this plan does not have them: coarse-seed1 as it was, original-seed1 as it was" in answer.err
