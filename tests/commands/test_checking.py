"""A plan that verl would refuse is refused, on every way that leads to running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.conftest import SWEEP, Toolrl
from toolrl_cli.training.checking import config_check, verdicts
from toolrl_cli.training.preflight import answers
from toolrl_cli.training.preflight.question import Answer, Measures

WRONG = "verl.rl.trainer.save_frq"
SAYS = (
    "verl has no option 'trainer.save_frq' "
    "(did you mean the setting `rl.save_every`, verl's trainer.save_freq?; arms: coarse, original)"
)


@pytest.fixture
def without_verl(monkeypatch: pytest.MonkeyPatch) -> None:
    """verl objects to nothing: only the first tier is at work."""
    monkeypatch.setattr(config_check, "ask_verl", lambda questions: [[] for _ in questions])
    monkeypatch.setattr(config_check, "_seen", set())
    monkeypatch.setattr(verdicts, "remember", lambda digests: None)


@pytest.mark.parametrize("command", [["plan"], ["sweep"], ["sweep", "--dry-run"]], ids=" ".join)
def test_a_misspelt_option_is_refused_before_anything_runs(
    toolrl: Toolrl, sweep_file: Path, tmp_path: Path, command: list[str], without_verl: None
) -> None:
    answer = toolrl(*command, "small.yaml", "--set", f"{WRONG}=5")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"error: --set {WRONG}: {SAYS}\n"
    assert not (tmp_path / "results").exists()


def test_the_line_of_the_file_is_named(toolrl: Toolrl, sweep_file: Path, without_verl: None) -> None:
    sweep_file.write_text(SWEEP + "axes:\n  verl.rl.trainer.log_val_generations: [1, many]\n")
    answer = toolrl("plan", "small.yaml")
    assert answer.code == 2
    assert answer.err == (
        "error: small.yaml:8: axes.verl.rl.trainer.log_val_generations[1] (verl.rl.trainer.log_val_generations): "
        "'many' is not a whole number "
        "(verl's default is 0; arms: coarse-many, original-many)\n"
    )


def test_rows_that_do_not_fit_are_refused_with_the_line_that_sets_the_limit(
    toolrl: Toolrl, sweep_file: Path, without_verl: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))
    counts = Answer(Measures(lengths=[50, 300], golds=[10, 30]))
    monkeypatch.setattr(answers, "_ask", lambda asked: [counts for _ in asked])
    monkeypatch.setattr(answers, "_seen", {})
    sweep_file.write_text(SWEEP + "include:\n  - {arm: short, rl.max_response_length: 20}\n")
    answer = toolrl("plan", "small.yaml")
    assert answer.code == 2
    told, *lines = answer.err.splitlines()
    assert told == "counting the tokens of 2 sets of rows, once"
    assert lines[0].startswith(
        "error: small.yaml:8: include[0].rl.max_response_length: 1 of 2 train and 1 of 2 val rows have a gold"
    )
    assert lines[0].endswith(
        "(--set rl.max_response_length=31, or go on with --set rl.allow_cut_gold=true; arm: short)"
    )
    assert len(lines) == 1
    allowed = toolrl("plan", "small.yaml", "--set", "rl.allow_cut_gold=true")
    assert allowed.code == 0
    assert (
        "warning: rl.max_response_length: 1 of 2 train and 1 of 2 val rows have a gold answer of more than 20 tokens"
        in allowed.err
    )
    assert (
        "warning: rl.max_prompt_length: 1 of 2 train and 1 of 2 val prompts are longer than 256 tokens"
        in allowed.err
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
    answer = toolrl("plan", "small.yaml", "--set", "verl.rl.actor_rollout_ref.actor.kl_loss_type=lowvarkl")
    assert answer.code == 2
    assert "verl knows no 'lowvarkl' (did you mean 'low_var_kl'?; arms: coarse, original)" in answer.err


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


SCRIPT = """
  verl:
    rl:
      data: {train_batch_size: 64, shuffle: false}
      actor_rollout_ref:
        actor.use_token_level_loss: true
        rollout: {n: 64, max_num_seqs: many}
      +trainer.logger: [console, wandb]
      custom_reward_function.path: mine.py
"""


def test_all_faults_of_a_scripts_options_are_told_at_once(
    toolrl: Toolrl, sweep_file: Path, without_verl: None
) -> None:
    sweep_file.write_text(
        SWEEP.replace("base: {preset: tiny_grpo, rl.steps: 2}", f"base:\n  preset: tiny_grpo{SCRIPT}")
    )
    answer = toolrl("plan", "small.yaml")
    assert (answer.code, answer.out) == (2, "")
    assert [line.partition("base.verl.rl.")[2].partition(" (")[0] for line in answer.err.splitlines()] == [
        "data.train_batch_size: is given by the setting rl.prompts",
        "+trainer.logger: is toolrl's: curves, the best checkpoint and the check for hangs read the metrics file",
        "custom_reward_function.path: is never called: the reward is toolrl's",
        "actor_rollout_ref.rollout.n: is given by the setting rl.rollouts",
        "actor_rollout_ref.actor.use_token_level_loss: verl has no option "
        "'actor_rollout_ref.actor.use_token_level_loss'",
        "actor_rollout_ref.rollout.max_num_seqs: 'many' is not a whole number",
    ]
    assert "(set `rl.rollouts: 64`; arms: coarse, original)" in answer.err


def test_each_place_of_a_fault_has_its_line_and_its_arms(
    toolrl: Toolrl, sweep_file: Path, without_verl: None
) -> None:
    sweep_file.write_text(SWEEP + "axes:\n  verl.rl.data.train_batch_size: [4, 8]\n")
    lines = toolrl("plan", "small.yaml").err.splitlines()
    assert [line.partition("(set ")[2] for line in lines] == [
        "`rl.prompts: 4`; arms: coarse-train-batch-size-4, original-train-batch-size-4)",
        "`rl.prompts: 8`; arms: coarse-train-batch-size-8, original-train-batch-size-8)",
    ]


def test_a_saved_sweep_that_an_earlier_version_let_pass_is_not_resumed(
    toolrl: Toolrl, sweep_file: Path, monkeypatch: pytest.MonkeyPatch, without_verl: None
) -> None:
    option = "verl.rl.trainer.test_freq"
    with monkeypatch.context() as earlier:
        earlier.setattr(config_check, "claims", lambda *given: [])
        assert toolrl("sweep", "small.yaml", "--set", f"{option}=3", "--only", "raw").code == 0
    answer = toolrl("resume", "small")
    assert answer.code == 2
    assert answer.err == (
        f"error: sweep small: {option}: is given by the setting rl.validate_every "
        "(set `rl.validate_every: 3`; arms: coarse, original)\n"
    )
