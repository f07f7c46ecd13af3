"""A plan that verl would refuse is refused, on every way that leads to running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.conftest import SWEEP, Toolrl
from toolrl_cli.training.checking import config_check

WRONG = "verl.rl.trainer.save_frq"
SAYS = (
    "verl has no option 'trainer.save_frq' (did you mean 'trainer.save_freq'? "
    "+trainer.save_frq adds one on purpose; arms: coarse, original)"
)


@pytest.mark.parametrize("command", [["plan"], ["sweep"], ["sweep", "--dry-run"]], ids=" ".join)
def test_a_misspelt_option_is_refused_before_anything_runs(
    toolrl: Toolrl, sweep_file: Path, tmp_path: Path, command: list[str]
) -> None:
    answer = toolrl(*command, "small.yaml", "--set", f"{WRONG}=5")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"error: --set {WRONG}: {SAYS}\n"
    assert not (tmp_path / "results").exists()


def test_the_line_of_the_file_is_named(toolrl: Toolrl, sweep_file: Path) -> None:
    sweep_file.write_text(SWEEP + "axes:\n  verl.rl.trainer.total_epochs: [1, many]\n")
    answer = toolrl("plan", "small.yaml")
    assert answer.code == 2
    assert answer.err == (
        "error: small.yaml:8: axes.verl.rl.trainer.total_epochs[1] (verl.rl.trainer.total_epochs): "
        "'many' is not a whole number "
        "(verl's default is 30; arms: coarse-many, original-many)\n"
    )


def test_verl_itself_is_asked_once(
    toolrl: Toolrl, sweep_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(config_check, "_seen", set())
    asked = []
    really = config_check.ask_verl
    monkeypatch.setattr(config_check, "ask_verl", lambda sets: asked.append(len(sets)) or really(sets))
    assert toolrl("plan", "small.yaml").code == 0
    monkeypatch.setattr(config_check, "_seen", set())
    assert toolrl("plan", "small.yaml").code == 0
    assert asked == [2]  # the tiny model's SFT, and RL, which the arms share
    answer = toolrl("plan", "small.yaml", "--set", "verl.rl.algorithm.adv_estimator=grop")
    assert answer.code == 2
    assert "verl knows no 'grop' (did you mean 'grpo'?; arms: coarse, original)" in answer.err


def test_stages_that_are_done_are_not_checked(
    toolrl: Toolrl, sweep_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert toolrl("sweep", "small.yaml").code == 0
    checked = []
    monkeypatch.setattr(
        "toolrl_cli.training.checking.config_check.quick_fault", lambda *given: checked.append(given)
    )
    monkeypatch.setattr("toolrl_cli.training.checking.verdicts.accepted", set)
    monkeypatch.setattr(config_check, "_seen", set())
    assert toolrl("plan", "small.yaml").code == 0
    assert checked == []
