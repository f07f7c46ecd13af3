"""toolrl from Python."""

from __future__ import annotations

import json
import math
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import toolrl_cli
from tests.commands.conftest import FUNCTIONS, SWEEP
from toolrl_cli import api
from toolrl_cli.api import running
from toolrl_cli.errors import SpecError
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.processes.process_id import ProcessId

pytestmark = pytest.mark.usefixtures("verl_accepts")


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A sweep file in an empty folder, whose stages do no work."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOOLRL_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr(running, "Options", partial(Options, functions=FUNCTIONS))
    path = tmp_path / "small.yaml"
    path.write_text(SWEEP)
    yield path


def test_a_sweep_is_planned_run_and_read_without_a_word(
    sweep: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    planned = api.plan(sweep)
    assert (planned.name, len(planned.owed)) == ("small", 9)
    assert set(planned.to_frame()["status"]) == {"pending"} and "9 owed" in planned._repr_html_()
    outcome = api.run(planned)
    assert outcome.ok and set(outcome.ends.values()) == {"succeeded"} and outcome.failures == {}
    assert api.plan(sweep).owed == [] and api.run(sweep).ends == {}
    frame = api.results()
    assert set(frame["run"]) == {"raw-seed1", "coarse-seed1", "original-seed1"}
    overall = frame.query("column == 'overall'").set_index("arm")
    assert overall.loc["coarse", ["value", "correct", "total", "status"]].tolist() == [1.0, 8, 8, "succeeded"]
    assert overall.loc["coarse", "reward"] == "coarse" and overall.loc["raw", "train"] == "none"
    table = outcome.report.to_frame("toolworld").query("column == 'overall'")
    assert table["mean"].tolist() == [100.0] * 3 and "toolworld" in outcome.report._repr_html_().lower()
    assert capfd.readouterr() == ("", "")


def test_one_name_is_a_name_and_not_its_letters(sweep: Path) -> None:
    api.run(sweep, only="raw")
    assert api.results(sweeps="small").equals(api.results(sweeps=["small"]))
    assert api.report("small", tables="toolworld").to_json() == api.report(["small"]).to_json()
    (sweep.parent / "r.csv").write_text("arm,seed,toolworld/overall\na,1,0.5\n")
    assert [table.name for table in api.report(imports="r.csv").tables] == ["toolworld"]
    assert all("seed7" in str(run) for run in api.plan(sweep, sets="seeds=[7]").runs)


def test_what_has_no_scores_yet_is_a_row_that_says_why(sweep: Path) -> None:
    api.run(sweep, only="raw")
    frame = api.results(sweeps=["small"]).set_index("arm")
    waiting = frame.loc["coarse"]
    assert waiting["status"] == "pending" and waiting["column"] == "" and waiting["why"] == "pending"
    assert frame.loc["raw"]["status"].unique().tolist() == ["succeeded"]


def test_a_score_that_no_table_shows_is_none_in_a_frame(sweep: Path) -> None:
    api.run(sweep, only="raw")
    (path,) = Path("results/stages/evaluate").glob("*/output/scores.json")
    scores = json.loads(path.read_text())
    scores["metrics"]["overall"] |= {"value": 0.5, "correct": 50}
    path.write_text(json.dumps(scores))
    (path.parent / "items.jsonl").unlink()  # nothing to hold them against
    frame = api.results(sweeps=["small"])
    (row,) = frame.query("arm == 'raw' and column == 'overall'").to_dict("records")
    assert (row["status"], row["why"]) == ("unreadable", "unreadable: 50 of 8 is no share")
    assert math.isnan(row["value"])


def test_a_failed_stage_is_named_with_its_message(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_FAILS", "coarse")
    outcome = api.run(sweep)
    assert (outcome.ok, outcome.exit_status, outcome.interrupted) == (False, 1, False)
    (failure,) = outcome.failures.values()
    assert (failure.kind, failure.message) == ("config", "the rate is too high")
    assert "the rate is too high" in outcome._repr_html_()
    monkeypatch.delenv("TEST_FAILS")
    assert api.resume("small").ok


def test_curves_have_a_row_for_each_step_and_metric(sweep: Path) -> None:
    api.run(sweep)
    frame = api.curves(metrics=["reward/total/mean"])
    assert list(frame.columns)[:4] == ["sweep", "run", "arm", "seed"]
    assert set(frame["metric"]) <= {"reward/total/mean"}


def test_what_training_used_of_its_machine_is_a_row_for_each_sample_and_metric(sweep: Path) -> None:
    assert api.machine().empty
    api.run(api.plan(sweep))
    (attempt, *_) = sorted(Path("results/stages/rl").glob("*/attempts/1"))
    (attempt / "machine.jsonl").write_text('{"time": 1e9, "data": {"attempt/memory_gib": 1.5}}\n{"torn')
    frame = api.machine()
    row = frame.iloc[0]
    assert (row["stage"], row["metric"], row["value"]) == (attempt.parts[-3], "attempt/memory_gib", 1.5)
    assert str(row["time"]) == "2001-09-09 01:46:40+00:00"


def test_a_sweep_can_be_a_mapping_and_be_planned_again_by_its_name(sweep: Path) -> None:
    given = {
        "name": "given",
        "base": {"preset": "tiny_grpo", "rl.steps": 2},
        "arms": {"raw": {"train": []}, "coarse": {"reward": "coarse"}},
        "evaluate": ["toolworld"],
    }
    planned = api.plan(given)
    from_file = {stage for stage in api.plan(sweep).stages if "original" not in stage}
    assert set(planned.stages) == from_file
    assert api.run(given, only="raw").runs == {"raw-seed1": "succeeded"}
    again = api.plan("given", only="raw")
    assert [run.id for run in again.runs] == ["raw-seed1"] and again.owed == [] and again.grid is None
    kept = sweep.parent / "results" / "sweeps" / "given" / "sweep.yaml"
    assert api.plan(kept, only="raw").owed == []
    with pytest.raises(SpecError, match=r"no sweep 'givn'.*did you mean 'given'"):
        api.plan("givn")
    with pytest.raises(SpecError, match="sweep given: was planned when it was started"):
        api.plan("given", sets=["rl.steps=3"])


def test_a_mistake_in_a_mapping_is_named_by_its_key(sweep: Path) -> None:
    wrong = {"name": "given", "base": {"preset": "tiny_grpo", "rl": {"stepz": 2}}}
    with pytest.raises(SpecError, match=r"^sweep: base\.rl\.stepz: .*did you mean"):
        api.plan(wrong)
    with pytest.raises(SpecError, match=r"^sweep: holds what YAML cannot say: .*Path"):
        api.plan({"name": "given", "base": {"preset": sweep}})


def test_a_plan_can_be_run_twice_and_its_file_may_have_changed_meanwhile(sweep: Path) -> None:
    planned = api.plan(sweep, only="raw")
    sweep.write_text("name: another")
    assert api.run(planned).ok
    (kept,) = sweep.parent.glob("results/sweeps/*/sweep.yaml")
    assert kept.read_text() == SWEEP
    began = set(sweep.parent.glob("results/stages/*/*/attempts/*"))
    assert api.run(planned).ok
    assert set(sweep.parent.glob("results/stages/*/*/attempts/*")) == began and len(began) == 3


def test_whoever_observes_is_told_every_end(sweep: Path) -> None:
    told = []
    outcome = api.run(sweep, only="raw", observe=lambda event: told.append((event.what, event.stage)))
    assert {stage for what, stage in told if what == "succeeded"} == set(outcome.ends)


def test_a_plan_takes_nothing_that_it_was_made_of(sweep: Path) -> None:
    with pytest.raises(SpecError, match="sweep small: is planned already"):
        api.run(api.plan(sweep), only="raw")


def test_a_sweep_goes_back_as_far_as_it_is_told_and_whole_only_when_confirmed(sweep: Path) -> None:
    outcome = api.run(sweep, only="raw")
    with pytest.raises(SpecError, match=r"would set back all of small \(\d+ stages\)"):
        api.plan_resume("small", fresh=True)
    asked = []
    with pytest.raises(SpecError, match="nothing was set back"):
        api.plan_resume("small", fresh=True, confirm=asked.append)  # type: ignore[arg-type]
    assert asked[0].startswith("all of small (")
    assert api.plan_resume("small", only="raw").owed == []
    back = api.plan_resume("small", stage="evaluate", only="raw", fresh=True)
    assert len(back.owed) == 1 and api.plan("small", only="raw").owed == []  # nothing is changed by planning
    assert set(api.run(back).ends) == set(back.owed) <= set(outcome.ends)
    with pytest.raises(SpecError, match="--fresh and --from-step exclude"):
        api.resume("small", stage="rl", fresh=True, from_step=1)
    with pytest.raises(SpecError, match="0 is no step"):
        api.resume("small", stage="rl", from_step=0)


def test_mistakes_are_exceptions_with_the_commands_one_line(sweep: Path) -> None:
    api.run(sweep, only="raw")
    with pytest.raises(SpecError, match="did you mean 'small'"):
        api.results(sweeps=["smal"])
    with pytest.raises(SpecError, match=r"unknown launcher 'locl' \(did you mean 'local'\?\)"):
        api.run(sweep, launcher="locl")
    with pytest.raises(SpecError, match="no table 'T6'"):
        api.run(sweep).report.to_frame("T6")


def test_where_a_sweep_stands_is_a_row_for_each_run(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_FAILS", "coarse")
    api.run(sweep, only="coarse")
    found = api.status("small")
    frame = found.to_frame().set_index("run")
    failed = frame.loc["coarse-seed1"]
    assert failed[["status", "attempts", "what"]].tolist() == ["failed", 1, "config: the rate is too high"]
    assert failed[["position", "stages", "kind"]].tolist() == [3, 5, "rl"]
    assert frame.loc["raw-seed1", "status"] == "pending" and frame["step"].dtype == "Int64"
    assert found.title == "small: 2 of 9 stages done, no harness at work"
    assert found.title in found._repr_html_() and found.to_json()["sweep"] == "small"
    assert api.status().saved.name == "small" and found.refreshed().title == found.title


def test_a_sweep_is_stopped_without_a_word(sweep: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert api.run(sweep, only="raw").ok
    assert api.stop("small") == api.Stopped(0, {}, {})
    harness = subprocess.Popen(["sleep", "100"])
    try:
        process = ProcessId.of(harness.pid)
        assert process is not None
        folder = sweep.parent / "results/sweeps/small/harnesses"
        folder.mkdir(exist_ok=True)
        (folder / "h.json").write_text(json.dumps(process.to_json()))
        stopped = api.stop("small")
        assert harness.wait(10) == -signal.SIGTERM
    finally:
        harness.kill()
        harness.wait()
    assert (stopped.harnesses, stopped.ok) == (1, True)
    with pytest.raises(SpecError, match="did you mean 'small'"):
        api.stop("smal")
    assert capfd.readouterr() == ("", "")


def test_no_function_of_the_package_has_the_name_of_a_room() -> None:
    rooms = {path.parent.name for path in Path(toolrl_cli.__file__).parent.glob("*/__init__.py")}
    modules = {path.stem for path in Path(api.__file__).parent.glob("*.py")}
    assert not rooms & toolrl_cli._API  # an import of the room would take the function's place
    assert not modules & set(api.__all__)


def test_the_functions_can_be_had_from_the_package_and_cost_nothing_until_then() -> None:
    assert toolrl_cli.plan is api.plan and toolrl_cli.reward("coarse").name == "coarse"
    assert set(api.__all__) == set(dir(api)) and all(callable(getattr(api, name)) for name in api.__all__)
    with pytest.raises(AttributeError, match="no attribute 'planned'"):
        _ = api.planned
    with pytest.raises(AttributeError, match="no attribute 'planned'"):
        _ = toolrl_cli.planned
