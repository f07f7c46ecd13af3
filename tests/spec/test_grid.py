"""From a sweep file to its runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.resolve import Run

Resolve = Callable[..., list[Run]]
HEAD = "name: s\nbase: {preset: tiny_grpo}\n"


def arms(runs: list[Run]) -> list[str]:
    return [run.arm for run in runs]


def test_axes_are_multiplied_in_the_order_of_the_file(resolve: Resolve) -> None:
    runs = resolve(HEAD + "axes: {reward: [original, coarse], rl.steps: [2, 3]}\n")
    assert arms(runs) == ["original-steps-2", "original-steps-3", "coarse-steps-2", "coarse-steps-3"]
    assert [r.spec.rl.steps for r in runs] == [2, 3, 2, 3]
    assert runs[2].spec.reward["name"] == "coarse"


def test_seeds_multiply_last_and_name_the_run(resolve: Resolve) -> None:
    runs = resolve(HEAD + "arms: {a: {}, b: {reward: coarse}}\nseeds: {range: [0, 2]}\n")
    assert [r.id for r in runs] == ["a-seed0", "a-seed1", "b-seed0", "b-seed1"]
    assert [r.spec.seed for r in runs] == [0, 1, 0, 1]


def test_zipped_values_are_paired(resolve: Resolve) -> None:
    runs = resolve(HEAD + "zip: {rl.lr: [0.001, 0.002], rl.steps: [4, 2]}\n")
    assert [(r.spec.rl.lr, r.spec.rl.steps) for r in runs] == [(0.001, 4), (0.002, 2)]


def test_ablate_gives_the_baseline_and_one_change_at_a_time(resolve: Resolve) -> None:
    runs = resolve(
        HEAD
        + "ablate:\n  baseline: {reward: original}\n  change: {no-lr: {rl.lr: 0.0005}, coarse: {reward: coarse}}\n"
    )
    assert arms(runs) == ["baseline", "no-lr", "coarse"]
    assert [r.spec.reward["name"] for r in runs] == ["original", "original", "coarse"]


def test_an_axis_under_a_condition_collapses_where_the_condition_does_not_hold(resolve: Resolve) -> None:
    runs = resolve(
        HEAD
        + "axes: {algorithm: [grpo, ppo], rl.critic_warmup: [0, 2]}\nwhen: {rl.critic_warmup: {algorithm: ppo}}\n"
    )
    assert arms(runs) == ["grpo", "ppo-critic-warmup-0", "ppo-critic-warmup-2"]


def test_excluded_cells_are_left_out_and_included_ones_added(resolve: Resolve) -> None:
    runs = resolve(
        HEAD
        + "axes: {reward: [original, coarse], rl.steps: [2, 3]}\n"
        + "exclude: [{reward: coarse, rl.steps: 3}]\ninclude: [{arm: odd, rl: {steps: 9}}]\n"
    )
    assert arms(runs) == ["original-steps-2", "original-steps-3", "coarse-steps-2", "odd"]
    assert runs[-1].spec.rl.steps == 9


def test_models_are_the_outermost_axis(resolve: Resolve) -> None:
    runs = resolve(HEAD + "models: [tiny, qwen2.5-3b-instruct]\narms: {a: {}}\n")
    assert arms(runs) == ["tiny-a", "qwen2.5-3b-instruct-a"]
    assert runs[1].spec.model.path == "Qwen/Qwen2.5-3B-Instruct"


def test_layers_override_preset_then_base_then_arm_then_set(resolve: Resolve) -> None:
    text = "name: s\nbase: {preset: tiny_grpo, rl.steps: 4, rl.lr: 0.004}\n"
    text += "arms: {a: {rl.steps: 5}, b: {preset: tiny_ppo}}\n"
    a, b = resolve(text)
    assert (a.spec.rl.prompts, a.spec.rl.steps, a.spec.rl.lr) == (8, 5, 0.004)
    assert (b.spec.algorithm, b.spec.rl.prompts, b.spec.rl.steps) == ("ppo", 64, 4)
    assert [r.spec.rl.steps for r in resolve(text, "rl.steps=7")] == [7, 7]


def test_set_reaches_the_file_s_own_keys(resolve: Resolve) -> None:
    assert [r.seed for r in resolve(HEAD + "seeds: [1]\n", "seeds=[4, 5]")] == [4, 5]


def test_dotted_verl_options_pass_through(resolve: Resolve) -> None:
    (run,) = resolve(HEAD + "axes: {}\n", "verl.rl.trainer.nnodes=2")
    assert run.spec.verl.rl == {"trainer.nnodes": 2}


FAULTS = [
    ("nam: s\n", "'name' is missing"),
    (HEAD + "axis: {}\n", "unknown key 'axis' (did you mean 'axes'?)"),
    (HEAD + "rl: {steps: 3}\n", "is a run setting: put it under base"),
    (HEAD + "axes: {reward: []}\n", "has no values"),
    (HEAD + "axes: {reward: original}\n", "should be a valid list"),
    (HEAD + "axes: {rewards: [original]}\n", "unknown key 'rewards' (did you mean 'reward'?)"),
    (HEAD + "axes: {reward: [orignal]}\n", "did you mean 'original'?"),
    (HEAD + "axes: {reward: [coarse+finegrained]}\n", "coarse"),
    (HEAD + "axes: {rl.steps: [2, 2]}\n", "two cells are named"),
    (HEAD + "axes: {rl.steps: [0]}\n", "greater than 0"),
    (HEAD + "axes: {rl.lr: [.nan]}\n", "nan"),
    (HEAD + "axes: {rl.lr: [.inf]}\n", "inf"),
    (HEAD + "axes: {rl.lr: [fast]}\n", "'fast'"),
    (HEAD + "axes: {algorithm: [dpo]}\n", "'grpo' or 'ppo'"),
    (HEAD + "zip: {rl.lr: [0.1], rl.steps: [1, 2]}\n", "differ in length"),
    (HEAD + "zip: {rl.lr: [], rl.steps: []}\n", "differ in length or are empty"),
    (HEAD + "arms: {a: {}}\nablate: {change: {b: {}}}\n", "both name arms"),
    (HEAD + "ablate: {baseline: {}}\n", "'change' is missing"),
    (HEAD + "ablate: {changes: {}}\n", "ablate"),
    (HEAD + "when: {rl.lr: {algorithm: ppo}}\n", "is no axis"),
    (HEAD + "axes: {reward: [coarse]}\nexclude: [{reward: coarse}]\n", "no cell is left"),
    (HEAD + "axes: {reward: [coarse]}\narms: {a: {reward: original}}\n", "set by two factors"),
    (HEAD + "seeds: []\n", "no seeds"),
    (HEAD + "seeds: [1, 1]\n", "stands twice"),
    (HEAD + "seeds: [-1]\n", "seeds"),
    (HEAD + "seeds: {range: [3, 1]}\n", "no seeds"),
    (HEAD + "seeds: {rnge: [0, 1]}\n", "seeds"),
    (HEAD + "seeds: {range: [0, 1000000000]}\n", "cells"),
    (HEAD + "axes: {rl.steps: [1, 2, 3], seed: [1]}\n", "seed"),
    (HEAD + "evaluate: [bfcl9]\n", "unknown benchmark 'bfcl9'"),
    (HEAD + "include: [{arm: x, rl: {stpes: 1}}]\n", "unknown key 'stpes' (did you mean 'steps'?)"),
    (HEAD + "include: [3]\n", "include"),
    (HEAD + "arms: {a: {rl: {steps: 1}, rl.steps: 2}}\n", "set twice"),
    (HEAD + "arms: {a: 3}\n", "arms"),
    (HEAD + "models: [qwen2.5-3b]\n", "did you mean 'qwen2.5-3b-instruct'?"),
    ("name: ../x\nbase: {preset: tiny_grpo}\n", "cannot name a folder"),
    ("name: s\nbase: {preset: tinygrpo}\n", "did you mean 'tiny_grpo'?"),
    ("name: s\nbase: {preset: [tiny_grpo, 3]}\n", "no preset name"),
    ("name: s\nbase: {reward: original}\n", "no model is named"),
    ("name: s\nbase: {preset: tiny_grpo, rl: {prompts: 7, mini_batch: 4}}\n", "multiple of mini_batch"),
    ("name: s\nbase: {preset: tiny_grpo, train: [rl, rl]}\n", "no order of training"),
    ("name: s\nbase: {preset: tiny_grpo, data: {kind: tool_world}}\n", "tool_world"),
    ("name: s\nbase: {preset: tiny_grpo, model: ./nowhere/at/all, rl: 3}\n", "rl"),
]


@pytest.mark.parametrize(("text", "says"), FAULTS, ids=[says for _, says in FAULTS])
def test_a_mistake_gets_one_line_with_the_file_and_what_is_meant(
    resolve: Resolve, text: str, says: str
) -> None:
    with pytest.raises(SpecError) as caught:
        resolve(text)
    line = str(caught.value)
    assert says in line
    assert "s.yaml" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("rl.steps", "is not key=value"),
        ("=3", "is not key=value"),
        ("rll.steps=3", "did you mean 'rl'?"),
        ("rl.stepz=3", "did you mean 'steps'?"),
        ("rl.steps=[", "is not YAML"),
    ],
)
def test_a_faulty_set_is_named(resolve: Resolve, setting: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        resolve(HEAD, setting)
    assert says in str(caught.value)
