"""What a sweep writes and its runs never read, or never come to, is told when it is planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.planning.loading import load


def notes(folder: Path, text: str, *sets: str) -> tuple[str, ...]:
    """The lines of a plan."""
    (folder / "s.yaml").write_text(f"name: s\n{text}\nevaluate: [toolworld]\n", encoding="utf-8")
    told = load(folder / "s.yaml", folder / "results", sets).notes
    return tuple(line.replace(f"{folder}/", "") for line in told)


def refusal(folder: Path, text: str, *sets: str) -> str:
    with pytest.raises(SpecError) as error:
        notes(folder, text, *sets)
    return str(error.value).replace(f"{folder}/", "")


GRPO = "base: {preset: tiny_grpo, model: tiny_base, %s}"

UNREAD = [
    (GRPO % "" + "\naxes: {rl.kl_coef: [0.001]}", "s.yaml:3: axes.rl.kl_coef[0] (rl.kl_coef): changes nothing: "
     "there is no KL term (rl.kl: none) (arm 'kl-coef-0.001'; remove it, or set rl.kl: in_loss)"),
    (GRPO % "rl: {critic_lr: 0.01}", "s.yaml:2: base.rl.critic_lr: changes nothing: grpo does not read it"),
    (GRPO % "rl.critic_warmup: 3", "grpo does not read it"),
    (GRPO % "rl.gae_lambda: 0.9, algorithm: reinforce++", "reinforce++ does not read it"),
    (GRPO % "rl.gamma: 0.9, algorithm: reinforce++_baseline", "reinforce++_baseline does not read it"),
    (GRPO % "" + "\naxes: {algorithm: [ppo, grpo], rl.gamma: [0.9]}",
     "(arm 'grpo-gamma-0.9'; `when: {rl.gamma: {algorithm: ppo}}` keeps it to the arms that read it)"),
    (GRPO % "train: [sft, rl], sft: {steps: 3, epochs: 2}", "base.sft.epochs: changes nothing: sft.steps (3) counts"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), UNREAD, ids=[told for _, told in UNREAD])
def test_a_setting_that_an_arm_writes_and_does_not_read_is_refused(
    tmp_path: Path, text: str, told: str
) -> None:
    line = refusal(tmp_path, text)
    assert told in line and "\n" not in line


CONSTANT = [
    ("clamp: [5, 10], components: {format: {}, correctness: {}}",
     "s.yaml:2: base.reward: every answer earns the same: clamp [5, 10] leaves one value of -3 to 4 (give parts"),
    ("clamp: [4, 10], components: {format: {}, correctness: {}}", "clamp [4, 10] leaves one value of -3 to 4"),
    ("components: {format: {weight: 0}, correctness: {weight: 0}}", "its parts add up to 0 whatever the answer"),
    ("components: {format: {range: [1, 1]}}", "its parts add up to 1 whatever the answer"),
    ("components: {calls: {credit: {call: 0}}}", "its parts add up to 0 whatever the answer"),
    ("components: {format: {weight: {kind: step, at: 30, from: 0, to: 1}}}", "its parts add up to 0"),
]  # fmt: skip


@pytest.mark.parametrize(("reward", "told"), CONSTANT, ids=[reward for reward, _ in CONSTANT])
def test_a_reward_under_which_every_answer_earns_the_same_is_refused(
    tmp_path: Path, reward: str, told: str
) -> None:
    line = refusal(tmp_path, GRPO % f"reward: {{{reward}}}")
    assert told in line and "\n" not in line


def test_a_reward_whose_parts_gdpo_weighs_itself_is_planned(tmp_path: Path) -> None:
    parts = "reward: {components: {format: {weight: 0}, correctness: {weight: 0}}}"
    assert notes(tmp_path, GRPO % f"algorithm: gdpo, rl.gdpo_weights: {{format: 1.0}}, {parts}") == ()


def test_every_value_of_an_axis_that_nothing_reads_is_one_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, GRPO % "" + "\naxes: {rl.kl_coef: [0.001, 0.1]}").count("\n") == 1


def test_a_setting_on_the_command_line_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, GRPO % "", "rl.gamma=0.9").startswith("--set rl.gamma: changes nothing")


@pytest.mark.parametrize(
    ("text", "sets"),
    [
        (GRPO % "rl.critic_lr: 0.01" + "\naxes: {algorithm: [grpo, ppo]}", ()),  # one of the arms reads it
        (GRPO % "rl: {kl: in_loss, kl_coef: 0.1}" + "\narms: {a: {}, b: {rl.kl: none}}", ()),
        (GRPO % "rl: {kl: in_loss, kl_coef: 0.1}", ("rl.kl=none",)),  # --set takes it back
        (GRPO % "rl.gamma: 0.9, algorithm: reinforce++", ()),
        (GRPO % "train: [sft, rl], sft.epochs: 2", ("sft.steps=3",)),
        ("base: {preset: tiny_ppo, model: tiny_base, rl.critic_warmup: 25}", ()),
        (
            "base: {preset: tiny_grpo, model: tiny_base}\narms: {a: {sft.epochs: 1, train: [sft]}}",
            ("sft.steps=3",),
        ),
        (
            "base: {preset: tiny_grpo, model: tiny_base}\nablate:\n"
            "  baseline: {rl.kl: in_loss, rl.kl_coef: 0.1}\n  change: {no-kl: {rl.kl: none}}",
            (),
        ),
        (
            GRPO % "reward: {clamp: [0.5, 1], components: {exact: {weight: "
            "{kind: linear, until: 20, from: 0.1, to: 1}}}}",
            (),
        ),
    ],
)
def test_a_setting_that_some_arm_reads_is_planned(tmp_path: Path, text: str, sets: tuple[str, ...]) -> None:
    assert notes(tmp_path, text, *sets) == ()


def test_a_policy_that_is_never_trained_is_told_and_a_smoke_run_planned(tmp_path: Path) -> None:
    (line,) = notes(tmp_path, "base: {preset: tiny_ppo, model: tiny_base, rl.critic_warmup: 5}", "rl.steps=2")
    assert (
        "only the critic learns before step 5, and the run has 2 (rl.steps): the policy is never trained"
        in line
    )


UNREACHED = [
    ("reward: two_stage", "base.reward: format.weight and correctness.weight change at step 30, and the run has 25"),
    ("reward: {components: {format: {weight: {kind: linear, until: 60, from: 0, to: 1}}, correctness: {}}}",
     "base.reward.components.format.weight: changes until step 60, and the run has 25 (rl.steps; "),
    ("reward: {components: {format: {}, none: {kind: format, range: [1, 1]}}}",
     "base.reward.components.none: earns the same whatever the answer"),
    ("rl.warmup_steps: 25", "base.rl.warmup_steps: the learning rate rises over 25 steps, and the run has 25"),
    ("checkpoint: best, rl.validate_every: 1000", "base.checkpoint: best is last: no step before 25 is both saved"),
    ("train: [sft, rl], sft.warmup: 1.0", "base.sft.warmup: the learning rate rises over all steps"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "told"), UNREACHED)
def test_what_a_run_ends_before_is_a_warning(tmp_path: Path, settings: str, told: str) -> None:
    (line,) = notes(tmp_path, GRPO % settings)
    assert line.startswith(f"warning: s.yaml:2: {told}") and line.endswith("arm: run")


def test_a_run_that_comes_to_all_of_it_has_no_warning(tmp_path: Path) -> None:
    settings = "reward: two_stage, rl: {steps: 30, warmup_steps: 29}, checkpoint: best"
    assert notes(tmp_path, GRPO % settings) == ()
