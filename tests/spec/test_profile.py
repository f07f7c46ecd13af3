"""A sweep in another size: what changes, what stays, and what it says about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.rewards import get_reward
from toolrl_cli.spec.sweeps.profile import load_profile
from toolrl_cli.spec.sweeps.resolve import Resolved, resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep

InSmall = Callable[..., Resolved]
HEAD = "name: s\nbase: {preset: paper_grpo}\n"
MODELS = "models: [qwen2.5-1.5b-instruct, qwen2.5-7b-instruct]\n"


@pytest.fixture
def in_small(tmp_path: Path) -> InSmall:
    """Text of a sweep file (and `--set` values) → what `--profile cpu` makes of it."""

    def run(text: str, *sets: str) -> Resolved:
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        profile = load_profile("cpu")
        return resolve_sweep(profile.document(read_sweep(path, sets)), profile)

    return run


def test_the_models_collapse_to_the_tiny_one_and_their_cells_to_one(in_small: InSmall) -> None:
    resolved = in_small(HEAD + MODELS + "axes: {reward: [original, coarse]}\n")
    assert [run.arm for run in resolved.runs] == ["original", "coarse"]
    assert {run.spec.model.name for run in resolved.runs} == {"tiny"}
    assert [(d.arm, d.rule, d.same_as) for d in resolved.grid.dropped] == [
        ("qwen2.5-7b-instruct-original", "profile", "original"),
        ("qwen2.5-7b-instruct-coarse", "profile", "coarse"),
    ]


def test_a_model_that_an_arm_names_collapses_too(in_small: InSmall) -> None:
    text = "base: {preset: paper_grpo, model: qwen2.5-3b-instruct}\narms: {a: {}, b: {model: llama-3.2-3b-instruct}}\n"
    assert [run.arm for run in in_small("name: s\n" + text).runs] == ["a"]


def test_sizes_are_those_of_the_tiny_presets_by_algorithm(in_small: InSmall) -> None:
    grpo, ppo = in_small(HEAD + "models: [tiny]\narms: {g: {}, p: {preset: paper_ppo}}\n").runs
    assert (grpo.spec.rl.prompts, grpo.spec.rl.rollouts, grpo.spec.rl.mini_batch) == (8, 8, 8)
    assert (ppo.spec.rl.prompts, ppo.spec.rl.rollouts, ppo.spec.rl.mini_batch) == (64, 1, 64)
    assert (grpo.spec.rl.lr, ppo.spec.rl.critic_lr) == (2e-4, 1e-3)
    assert grpo.spec.precision == "fp32" and grpo.spec.resources.device == "cpu"


def test_what_the_sweep_sets_and_the_profile_replaces_is_told(tmp_path: Path) -> None:
    told = []
    for base in ("{preset: tiny_grpo, rl.save_every: 2, rl.lr: 0.01}", "{preset: paper_grpo, model: tiny}"):
        (tmp_path / "s.yaml").write_text(f"name: s\nbase: {base}\n", encoding="utf-8")
        profile = load_profile("cpu")
        resolve_sweep(profile.document(read_sweep(tmp_path / "s.yaml")), profile)
        told.append([*profile.notes])
    assert told == [["rl.save_every: 5 instead of 2"], []]  # rl.lr changes in proportion


def test_everything_else_stays(in_small: InSmall) -> None:
    text = (
        HEAD
        + "models: [tiny]\narms: {a: {train: [sft, rl], sft.split: train, rl.kl: in_loss}}\nseeds: [3, 4]\n"
    )
    runs = in_small(text).runs
    assert [run.seed for run in runs] == [3, 4]
    spec = runs[0].spec
    assert (spec.train, spec.sft.split, spec.sft.val_share) == (("sft", "rl"), "train", 0.05)
    assert (spec.rl.kl, spec.rl.entropy_coeff, spec.reward["name"]) == ("in_loss", 0.001, "original")


def test_an_ablation_of_a_size_stays_one_in_the_same_proportions(in_small: InSmall) -> None:
    runs = in_small(HEAD + "models: [tiny]\naxes: {rl.lr: [1.0e-6, 5.0e-6], rl.steps: [105, 210]}\n").runs
    assert [(r.spec.rl.lr, r.spec.rl.steps) for r in runs] == [
        (2e-4, 25), (2e-4, 50), (pytest.approx(1e-3), 25), (pytest.approx(1e-3), 50)
    ]  # fmt: skip
    assert [r.settings["rl.steps"] for r in runs] == [25, 50, 25, 50]


def test_limits_of_the_data_become_other_sizes_of_toolworld(in_small: InSmall) -> None:
    runs = in_small(HEAD + "models: [tiny]\naxes: {data.limit.train: [3920, 5880, 9800]}\n").runs
    assert [r.spec.data.train for r in runs] == [61, 92, 153]
    assert runs[0].settings["data"] == {"kind": "toolworld", "train": 61}


def test_a_reward_s_schedule_takes_place_within_the_short_run_and_is_told(in_small: InSmall) -> None:
    (run,) = in_small(HEAD + "models: [tiny]\naxes: {reward: [two_stage]}\n").runs
    assert run.spec.reward["name"] == run.settings["reward"] == "two_stage-25-steps"
    assert run.settings["profile"] == "cpu"
    weights = [get_reward(run.spec.reward).part_ranges(step)["format"][1] for step in (6, 7, 25)]
    assert weights == [1.0, 0.5, 0.5]


def test_a_reward_without_a_schedule_keeps_its_name_and_its_stage(in_small: InSmall) -> None:
    (run,) = in_small(HEAD + "models: [tiny]\naxes: {reward: [coarse]}\n").runs
    assert run.spec.reward == {"name": "coarse", **get_reward("coarse").to_dict()}


def test_set_is_stronger_than_the_profile(in_small: InSmall) -> None:
    (run,) = in_small(HEAD + "models: [tiny]\n", "rl.steps=3", "rl.prompts=16").runs
    assert (run.spec.rl.steps, run.spec.rl.prompts) == (3, 16)


def test_set_of_the_data_whose_place_is_taken_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + "models: [tiny]\n", encoding="utf-8")
    profile = load_profile("cpu")
    document = profile.document(read_sweep(path, ["data.path=/rows", "data.limit.train=4", "data.train=32"]))
    (run,) = resolve_sweep(document, profile).runs
    assert (run.spec.data.kind, run.spec.data.train) == ("toolworld", 32)
    assert [note.partition(":")[0] for note in profile.notes] == ["--set data.path", "--set data.limit.train"]
    with pytest.raises(SpecError, match=r"--set data\.pth: unknown key 'pth'"):
        resolve_sweep(profile.document(read_sweep(path, ["data.pth=/rows"])), profile)
    kept = resolve_sweep(profile.document(read_sweep(path, ["data={kind: rlla, path: /rows}"])), profile)
    assert kept.runs[0].spec.data.path == "/rows"


def test_toolworld_of_another_size_and_another_tiny_model_stay_as_they_are(in_small: InSmall) -> None:
    text = "name: s\nbase: {preset: tiny_grpo, data.benchmark: 7, model.pretrain.steps: 9}\n"
    (run,) = in_small(text).runs
    assert (run.spec.data.benchmark, run.spec.model.pretrain.steps) == (7, 9)


def test_name_benchmarks_and_tables_change_with_it(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + "models: [tiny]\nevaluate: [bfcl, api_bank]\ntables: [T1, T2]\n")
    sweep = load_profile("cpu").document(read_sweep(path)).sweep
    assert (sweep.name, sweep.evaluate, sweep.tables) == ("s-cpu", ["toolworld"], ["toolworld"])


def test_evaluations_and_tables_of_one_s_own_stay_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    (tmp_path / "mine.py").write_text("def items(): ...\ndef judge(item, output): ...\n")
    own = "evaluate: [bfcl, ./mine.py, {command: [./score.sh]}]\ntables: [T1, ./mine.yaml]\n"
    path.write_text(HEAD + "models: [tiny]\n" + own)
    profile = load_profile("cpu")
    document = profile.document(read_sweep(path))
    assert document.sweep.tables == ["toolworld", "./mine.yaml"]
    assert document.sweep.evaluate == ["toolworld", "./mine.py", {"command": ["./score.sh"]}]
    assert [*profile.notes] == [
        "evaluate: bfcl left out, toolworld instead",
        "tables: T1 left out, toolworld instead",
    ]


def test_an_unknown_profile_gets_the_nearest_name() -> None:
    with pytest.raises(SpecError, match=r"unknown profile 'cpus' \(did you mean 'cpu'\?\)"):
        load_profile("cpus")


def test_faults_are_told_as_without_a_profile(in_small: InSmall) -> None:
    with pytest.raises(SpecError, match="did you mean 'original'"):
        in_small(HEAD + "models: [tiny]\naxes: {reward: [orignal]}\n")
    with pytest.raises(SpecError, match="'dpo' has no sizes"):
        in_small(HEAD + "models: [tiny]\naxes: {algorithm: [dpo]}\n")
    with pytest.raises(SpecError, match="greater than 0"):
        in_small(HEAD + "models: [tiny]\naxes: {rl.grad_clip: [-1]}\n")
