"""`toolrl doctor`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.conftest import Toolrl
from toolrl_cli.api.trials import Trial
from toolrl_cli.errors import StageError
from toolrl_cli.housekeeping.health.check import Check


def test_a_check_that_fails_gives_exit_status_1_and_the_command_that_mends_it(
    toolrl: Toolrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # however long the folder's name is, no line is broken
    (tmp_path / "file").write_text("")
    answer = toolrl("doctor", "--json", "--results", str(tmp_path / "file"))
    assert answer.code == 1
    (failed,) = [check for check in answer.json["checks"] if check["name"] == "results root"]
    assert failed["standing"] == "error" and "--results DIR" in failed["fix"]
    shown = toolrl("doctor", "--results", str(tmp_path / "file"))
    assert shown.code == 1 and "is not a folder" in shown.out and "--results DIR" in shown.out


def test_every_check_has_the_stable_keys(toolrl: Toolrl) -> None:
    document = toolrl("doctor", "--json").json
    assert document["schema"] == 1
    assert all(set(check) == {"name", "standing", "found", "fix"} for check in document["checks"])


FOUND = Trial(
    device="cpu",
    precision="fp32",
    seconds=90.0,
    stages={"sft": 20.0, "rl": 70.0},
    resumed_from=2,
    step_seconds=1.5,
    tokens_per_second=4000.0,
    generated_per_second=700.0,
    peak_memory=3 << 29,
    probability_difference=3e-8,
    correlation=0.999999,
    score=0.125,
)


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolrl_cli.housekeeping.health.checks.run_checks", lambda results: [])


@pytest.mark.usefixtures("fit")
def test_what_a_trial_measured_is_shown_and_is_in_the_document(
    toolrl: Toolrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolrl_cli.api.trials.trial", lambda tell: FOUND)
    shown = toolrl("doctor", "--train")
    assert shown.code == 0
    for told in ("1.50 s, 4000 tokens/s", "700 tokens/s", "1.50 GiB", "0.999999", "after step 2", "12.5%"):
        assert told in shown.out, told
    assert toolrl("doctor", "--train", "--json").json["trial"] == FOUND.to_json()


@pytest.mark.usefixtures("fit")
def test_a_part_of_a_trial_that_fails_is_one_line_and_exit_status_1(
    toolrl: Toolrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(tell: object) -> Trial:
        raise StageError("rl failed: oom: CUDA out of memory", "/tmp/trial/log.txt")

    monkeypatch.setattr("toolrl_cli.api.trials.trial", fails)
    shown = toolrl("doctor", "--train")
    line = "error: /tmp/trial/log.txt: rl failed: oom: CUDA out of memory"
    assert (shown.code, shown.err.strip()) == (1, line)
    answer = toolrl("doctor", "--train", "--json")
    assert answer.code == 1 and answer.json["trial"] == {"fault": line.removeprefix("error: ")}


def test_a_machine_with_errors_is_not_trained_on(toolrl: Toolrl, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Check("torch", "error", "does not import", "pip install torch")
    monkeypatch.setattr("toolrl_cli.housekeeping.health.checks.run_checks", lambda results: [broken])
    answer = toolrl("doctor", "--train", "--json")
    assert answer.code == 1 and "not trained" in answer.json["trial"]["fault"]


@pytest.mark.usefixtures("fit")
def test_a_sweep_s_launcher_is_probed_with_its_settings_and_without_one_it_is_said(
    toolrl: Toolrl, tmp_path: Path
) -> None:
    sweep = tmp_path / "mine.yaml"
    sweep.write_text("name: mine\nbase: {preset: tiny_grpo}\nlaunchers: {slurm: {partion: big}}\n")
    answer = toolrl("doctor", str(sweep), "--launcher", "slurm")
    assert answer.code != 0 and "launchers.slurm.partion: unknown key 'partion'" in answer.err
    answer = toolrl("doctor", str(sweep))
    assert answer.code != 0 and f"(toolrl doctor --launcher NAME {sweep})" in answer.err
    answer = toolrl("doctor", "nowhere.yaml", "--launcher", "slurm")
    assert answer.code != 0 and "nowhere.yaml" in answer.err
