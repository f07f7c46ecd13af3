"""toolrl from Python."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import toolrl_cli
from tests.commands.conftest import FUNCTIONS, SWEEP
from toolrl_cli import api
from toolrl_cli.api import running
from toolrl_cli.errors import SpecError
from toolrl_cli.harness.scheduler_options import Options


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


def test_what_has_no_scores_yet_is_a_row_that_says_why(sweep: Path) -> None:
    api.run(sweep, only="raw")
    frame = api.results(sweeps=["small"]).set_index("arm")
    waiting = frame.loc["coarse"]
    assert waiting["status"] == "pending" and waiting["column"] == "" and waiting["why"] == "pending"
    assert frame.loc["raw"]["status"].unique().tolist() == ["succeeded"]


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


def test_mistakes_are_exceptions_with_the_commands_one_line(sweep: Path) -> None:
    api.run(sweep, only="raw")
    with pytest.raises(SpecError, match="did you mean 'small'"):
        api.results(sweeps=["smal"])
    with pytest.raises(SpecError, match=r"unknown launcher 'locl' \(did you mean 'local'\?\)"):
        api.run(sweep, launcher="locl")
    with pytest.raises(SpecError, match="no table 'T6'"):
        api.run(sweep).report.to_frame("T6")


def test_the_functions_can_be_had_from_the_package_and_cost_nothing_until_then() -> None:
    assert toolrl_cli.plan is api.plan and toolrl_cli.reward("coarse").name == "coarse"
    with pytest.raises(AttributeError, match="no attribute 'planned'"):
        _ = toolrl_cli.planned
