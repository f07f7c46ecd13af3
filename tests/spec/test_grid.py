"""From a sweep file to its runs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from toolrl_cli.errors import SpecError
from toolrl_cli.spec.run.data_settings import ToolWorldData
from toolrl_cli.spec.run.run_spec import RunSpec
from toolrl_cli.spec.run.training_settings import RlSpec
from toolrl_cli.spec.sweeps.fields import USUAL, fields_at
from toolrl_cli.spec.sweeps.grid import Grid
from toolrl_cli.spec.sweeps.resolve import Run, resolve_runs, resolve_sweep
from toolrl_cli.spec.sweeps.sweep import read_sweep
from toolrl_cli.spec.sweeps.sweep_file import SweepFile

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


def test_a_preset_given_by_set_is_stronger_than_that_of_an_arm(resolve: Resolve) -> None:
    text = "name: s\narms: {a: {preset: tiny_grpo}, b: {preset: tiny_grpo, rl.steps: 5}}\n"
    assert [(r.spec.algorithm, r.spec.rl.steps) for r in resolve(text, "preset=tiny_ppo")] == [
        ("ppo", 25),
        ("ppo", 5),
    ]


@pytest.mark.parametrize("word", ["{model}", "-"])
def test_settings_of_questions_that_only_commands_ask_are_refused(resolve: Resolve, word: str) -> None:
    own = f'evaluate: [{{command: [python, "{word}"], name: mine}}]\n'
    for text in ("axes: {evaluation.limit: [1]}\n", "arms: {a: {evaluation.limit: 1}}\n"):
        with pytest.raises(
            SpecError, match=r"evaluation\.limit.*changes nothing: every evaluation is a command"
        ):
            resolve(HEAD + text + own)
        assert resolve(HEAD + text + "evaluate: [toolworld]\n")[0].spec.evaluation.limit == 1
    with pytest.raises(SpecError, match=r"--set evaluation\.limit: changes nothing"):
        resolve(HEAD + own, "evaluation.limit=1")


def test_the_batch_size_of_a_server_that_a_command_asks_is_read(resolve: Resolve) -> None:
    head = HEAD + "axes: {evaluation.batch_size: [1]}\n"
    asks, loads = (f"evaluate: [{{command: [python, {w}], name: mine}}]\n" for w in ("-V", "'{model}'"))
    assert resolve(head + asks)[0].spec.evaluation.batch_size == 1
    with pytest.raises(SpecError, match="changes nothing"):
        resolve(head + loads)


def test_set_of_an_arm_that_is_not_there_makes_no_other_one(resolve: Resolve) -> None:
    text = HEAD + "arms: {coarse: {reward: coarse}}\n"
    assert resolve(text, "arms.coarse.rl.steps=3")[0].spec.rl.steps == 3
    assert [run.arm for run in resolve(text, "arms.new={reward: original}")] == ["coarse", "new"]
    with pytest.raises(SpecError, match=r"no arm 'coars'.*did you mean 'coarse'"):
        resolve(text, "arms.coars.rl.steps=3")
    text = HEAD + "ablate: {baseline: {}, change: {coarse: {reward: coarse}}}\n"
    with pytest.raises(SpecError, match=r"no arm 'coars'.*did you mean 'coarse'"):
        resolve(text, "ablate.change.coars.rl.steps=3")


@pytest.mark.parametrize(
    ("base", "cells"),
    [
        ("reward.components.format.weight: 3", "axes: {reward: [original, coarse]}"),
        ("model.revision: 0a1b", "models: [qwen2.5-1.5b-instruct, qwen2.5-3b-instruct]"),
        ("data.train: 128", "axes: {data: [{kind: toolworld, sft: 64}, {kind: toolworld, sft: 8}]}"),
    ],
)
def test_a_part_in_base_of_a_block_that_every_cell_gives_as_a_whole_is_refused(
    resolve: Resolve, base: str, cells: str
) -> None:
    text = f"name: s\nbase: {{preset: tiny_grpo, {base}}}\n{cells}\n"
    with pytest.raises(
        SpecError, match=f"s.yaml:2: base.{base.partition(':')[0]}: changes nothing: every arm gives"
    ):
        resolve(text)


def test_a_part_in_base_that_some_arms_replace_is_told_and_conditions_see_what_is_left(
    grid: Callable[[str], Grid],
) -> None:
    text = "name: s\nbase: {preset: tiny_grpo, data.train: 128}\n"
    text += "arms: {a: {}, b: {reward: coarse, data: {kind: toolworld, sft: 64}}}\n"
    (warning,) = grid(text).warnings
    assert warning.endswith("s.yaml:2: base.data.train: not for b, which gives the whole of data")
    rule = "exclude: [{reward: coarse, data.train: %d}]\n"
    assert grid(text + rule % 128).dropped == []
    (dropped,) = grid(text + rule % ToolWorldData(kind="toolworld").train).dropped
    assert dropped.arm == "b"


def test_set_gives_the_file_an_axis_by_its_dotted_name(resolve: Resolve) -> None:
    runs = resolve(HEAD + "axes: {rl.steps: [1, 2]}\n", "axes.rl.lr=[1e-3, 1e-4]", "axes.rl.steps=[3]")
    assert [(run.spec.rl.steps, run.spec.rl.lr) for run in runs] == [(3, 1e-3), (3, 1e-4)]


def test_arms_keep_their_names_as_they_are_written(resolve: Resolve) -> None:
    runs = resolve(HEAD + "arms: {yes: {}, 1: {reward: coarse}, true: {reward: dynamic}}\n")
    assert [run.arm for run in runs] == ["yes", "1", "true"]


def test_a_part_of_a_reward_with_a_name_can_be_changed(resolve: Resolve) -> None:
    for reward in ("original", "{granularity: coarse}"):
        text = f"name: s\nbase: {{preset: tiny_grpo, reward: {reward}}}\n"
        half, whole = resolve(text + "axes: {reward.components.format.weight: [0.5, 1]}\n")
        assert half.spec.reward["components"]["format"]["weight"] == 0.5
        assert half.spec.reward["components"].keys() == whole.spec.reward["components"].keys()


def test_a_block_without_a_setting_changes_nothing(resolve: Resolve) -> None:
    text = "name: s\nbase: {preset: tiny_grpo, rl: {}, model: {}, verl: {rl: {}}}\n"
    assert resolve(text)[0].spec == resolve(HEAD)[0].spec


def test_conditions_know_a_model_and_a_reward_of_one_s_own_by_name(grid: Callable[[str], Grid]) -> None:
    text = HEAD + "models: [tiny, {kind: tiny, name: small, seed: 4}]\n"
    text += "axes: {reward: [original, {name: mine, components: {f: {kind: format}}}]}\n"
    found = grid(text + "exclude: [{model: small, reward: mine}]\n")
    assert [cell.arm for cell in found.dropped] == ["small-mine"]


def test_dotted_verl_options_pass_through(resolve: Resolve) -> None:
    (run,) = resolve(HEAD + "axes: {}\n", "verl.rl.trainer.nnodes=2")
    assert run.spec.verl.rl == {"trainer.nnodes": 2}


@pytest.fixture
def grid(tmp_path: Path) -> Callable[[str], Grid]:
    """Text of a sweep file → its cells, and what was dropped."""

    def expanded(text: str) -> Grid:
        (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
        return resolve_sweep(read_sweep(tmp_path / "s.yaml")).grid

    return expanded


def test_every_cell_names_the_rules_that_made_it(grid: Callable[[str], Grid], tmp_path: Path) -> None:
    text = HEAD + "models: [tiny]\narms:\n  a: {}\naxes:\n  rl.steps:\n    - 2\n    - 3\n"
    text += "include:\n  - {arm: odd, rl.steps: 9}\n"
    origins = [cell.origin.replace(f"{tmp_path}/", "") for cell in grid(text).cells]
    assert origins == [
        "s.yaml:3: models[0] × s.yaml:5: arms.a × s.yaml:8: axes.rl.steps[0]",
        "s.yaml:3: models[0] × s.yaml:5: arms.a × s.yaml:9: axes.rl.steps[1]",
        "s.yaml:11: include[0]",
    ]


def test_every_dropped_combination_names_the_rule_that_dropped_it(grid: Callable[[str], Grid]) -> None:
    expanded = grid(
        HEAD
        + "axes: {algorithm: [grpo, ppo], rl.critic_warmup: [0, 2]}\n"
        + "when: {rl.critic_warmup: {algorithm: ppo}}\nexclude:\n- {rl.critic_warmup: 2, algorithm: ppo}\n"
    )
    told = [(d.arm, d.rule, d.where.rsplit("/", 1)[-1], d.same_as) for d in expanded.dropped]
    assert told == [
        ("grpo", "when", "s.yaml:4: when.rl.critic_warmup", "grpo"),
        ("ppo-critic-warmup-2", "exclude", "s.yaml:6: exclude[0]", ""),
    ]
    assert [cell.arm for cell in expanded.cells] == ["grpo", "ppo-critic-warmup-0"]


def test_cells_that_a_condition_gives_one_name_are_one_only_where_their_settings_are(
    grid: Callable[[str], Grid],
) -> None:
    text = HEAD + "axes: {algorithm: [grpo, ppo], rl.lr: [1.0e-6, 1.0000001e-6], rl.critic_warmup: [0, 2]}\n"
    with pytest.raises(SpecError, match="two cells are named 'grpo-lr-1e-06'"):
        grid(text + "when: {rl.critic_warmup: {algorithm: ppo}}\n")


def test_conditions_see_what_presets_and_defaults_set(resolve: Resolve) -> None:
    text = "name: s\nbase: {model: tiny, data: {kind: toolworld}}\n"
    text += "arms: {g: {preset: tiny_grpo}, p: {preset: tiny_ppo}}\naxes: {rl.critic_warmup: [0, 2]}\n"
    text += "when: {rl.critic_warmup: {algorithm: ppo}}\nexclude: [{algorithm: ppo, rl.critic_warmup: 0}]\n"
    assert arms(resolve(text)) == ["g", "p-critic-warmup-2"]


def test_a_whole_block_and_a_key_of_it_are_laid_in_that_order_whichever_stands_first(
    resolve: Resolve,
) -> None:
    text = "name: s\nbase: {preset: tiny_grpo, reward.fidelity: paper, reward: {name: coarse}}\n"
    (run,) = resolve(text)
    assert run.spec.reward["fidelity"] == "paper"
    assert run.spec.reward["components"]["correctness"]["granularity"] == "coarse"


def test_conditions_see_what_set_gives_before_what_the_cell_does(resolve: Resolve) -> None:
    text = HEAD + "axes: {reward: [coarse, dynamic]}\nexclude: [{reward: coarse}]\n"
    assert arms(resolve(text)) == ["dynamic"]
    assert arms(resolve(text, "reward=original")) == ["coarse", "dynamic"]


def test_an_exclude_that_leaves_nothing_out_is_told_with_what_was_meant(grid: Callable[[str], Grid]) -> None:
    text = HEAD + "axes: {reward: [two_stage, coarse]}\nexclude: [{reward: two_stge}]\n"
    (line,) = grid(text).warnings
    assert line.endswith("s.yaml:4: exclude[0]: excludes nothing (did you mean 'two_stage'?)")


def test_cells_that_set_makes_equal_stay_and_are_told(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + "axes: {reward: [coarse, dynamic]}\n", encoding="utf-8")
    resolved = resolve_sweep(read_sweep(path, ["reward=original"]))
    assert [run.arm for run in resolved.runs] == ["coarse", "dynamic"]
    assert resolved.grid.warnings == ["--set reward: 'coarse' and 'dynamic' are the same setting twice"]


def test_a_run_shows_what_it_ran_with_where_set_is_laid_over_its_arm(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    arms = "arms: {hot: {rl.temperature: 0.9, rl.steps: 3}, long: {rl.steps: 9, rl.lr: 0.2}, full: {lora: null}}\n"
    path.write_text(HEAD + arms, encoding="utf-8")
    resolved = resolve_sweep(read_sweep(path, ["rl.steps=5", "lora.rank=4"]))
    assert [run.settings for run in resolved.runs] == [
        {"rl.temperature": 0.9, "rl.steps": 5}, {"rl.steps": 5, "rl.lr": 0.2}, {"lora.rank": 4}
    ]  # fmt: skip
    assert resolved.grid.warnings == [
        "--set rl.steps: in place of what is set by hot, long",
        "--set lora.rank: in place of what is set by full",
    ]


def test_seeds_are_no_part_of_a_large_grid_s_validation(resolve: Resolve) -> None:
    runs = resolve(HEAD + "axes: {rl.lr: [0.1, 0.2]}\nseeds: {range: [0, 500]}\n")
    assert len(runs) == 1000 and runs[0].spec.rl is runs[499].spec.rl
    assert runs[0].spec.seed == 0 and runs[999].spec.seed == 499


def test_a_cell_put_together_from_known_blocks_is_what_validation_gives(resolve: Resolve) -> None:
    text = HEAD + "arms: {a: {}, p: {preset: tiny_ppo, train: [sft, rl]}, r: {train: []}}\n"
    text += "axes: {rl.lr: [0.1, 0.2], data.val: [8, 9], resources: [{gpus: 1}, {gpus: 2}]}\n"
    for run in resolve(text):
        again = type(run.spec).model_validate(run.spec.model_dump())
        assert again == run.spec, run.id


FAULTS = [
    ("nam: s\n", "'name' is missing"),
    (HEAD + "axis: {}\n", "unknown key 'axis' (did you mean 'axes'?)"),
    (HEAD + "rl: {steps: 3}\n", "is a run setting: put it under base"),
    (HEAD + "axes: {reward: []}\n", "has no values"),
    (HEAD + "axes: {reward: original}\n", "axes.reward: 'original' is not a list (write [original])"),
    (HEAD + "axes: {rewards: [original]}\n", "unknown key 'rewards' (did you mean 'reward'?)"),
    (HEAD + "axes: {reward: [orignal]}\n", "did you mean 'original'?"),
    (HEAD + "axes: {reward: [coarse+finegrained]}\n", "coarse"),
    (HEAD + "axes: {rl.steps: [2, 2]}\n", "two cells are named"),
    (HEAD + "axes: {rl.steps: [0]}\n", "greater than 0"),
    (HEAD + "axes: {rl.lr: [.nan]}\n", "nan"),
    (HEAD + "axes: {rl.lr: [.inf]}\n", "inf"),
    (HEAD + "axes: {rl.lr: [fast]}\n", "'fast'"),
    (HEAD + "axes: {algorithm: [dpo]}\n", "did you mean 'gdpo'?"),
    (HEAD + "zip: {rl.lr: [0.1], rl.steps: [1, 2]}\n", "differ in length"),
    (HEAD + "zip: {rl.lr: [], rl.steps: []}\n", "differ in length or are empty"),
    (HEAD + "arms: {a: {}}\nablate: {change: {b: {}}}\n", "both name arms"),
    (HEAD + "ablate: {baseline: {}}\n", "'change' is missing"),
    (HEAD + "ablate: {changes: {}}\n", "ablate"),
    (HEAD + "when: {rl.lr: {algorithm: ppo}}\n", "is no axis"),
    (HEAD + "axes: {reward: [coarse]}\nexclude: [{reward: coarse}]\n", "no cell is left"),
    (HEAD + "axes: {reward: [coarse]}\narms: {a: {reward: original}}\n", "set by two factors"),
    (HEAD + "arms: {a: {lora: null}}\naxes: {lora.rank: [4]}\n", "'lora' is null in "),
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
    # conditions
    (HEAD + "axes: {rl.lr: [0.1]}\nwhen: {rl.lr: {algorithm: ppo}}\n", "never holds (algorithm is grpo)"),
    (HEAD + "axes: {rl.lr: [0.1]}\nwhen: {rl.lr: {algorithm: ppoo}}\n", "'ppoo': did you mean 'ppo'?"),
    (HEAD + "axes: {rl.lr: [0.1]}\nwhen: {rl.lr: {algoritm: ppo}}\n", "did you mean 'algorithm'?"),
    (HEAD + "axes: {rl.lr: [0.1]}\nwhen: {rl.lr: {}}\n", "the condition is empty"),
    (HEAD + "axes: {rl.lr: [0.1]}\nwhen: {rl.lr: {rl.lr: 0.1}}\n", "depends on itself"),
    (HEAD + "axes: {reward: [coarse]}\nexclude: [{rewrd: coarse}]\n", "exclude[0]: unknown key 'rewrd'"),
    (HEAD + "axes: {reward: [coarse]}\nexclude: [{}]\n", "would exclude every cell"),
    # cells that are one
    (HEAD + "arms: {a: {}, a: {reward: coarse}}\n", "key 'a' stands twice"),
    (HEAD + "arms: {a: {}, b: {reward: original}}\n", "the same setting twice"),
    (
        HEAD + "axes: {reward: [coarse, dynamic]}\ninclude: [{arm: again, reward: coarse}]\n",
        "s.yaml:3: axes.reward[0]; s.yaml:4: include[0]",
    ),
    (HEAD + "arms: {a b: {}}\n", "cannot name an arm"),
    (HEAD + "include: [{arm: ../x}]\n", "cannot name an arm"),
    (HEAD + "ablate: {change: {}}\n", "nothing is changed"),
    (HEAD + "ablate: {change: {baseline: {rl.lr: 0.1}}}\n", "name of the baseline"),
    (HEAD + "ablate: {change: {x: {rl.stps: 1}}}\n", "ablate.change.x.rl.stps: unknown key 'stps'"),
    # sizes
    (
        HEAD
        + "axes:\n"
        + "".join(f"  rl.{key}: {list(range(1, 1001))}\n" for key in ("steps", "prompts", "rollouts")),
        "the grid has 1,000,000,000 cells",
    ),
    # interpolation
    (HEAD + "description: ${description}\n", "s.yaml:3: description: interpolation does not resolve"),
    (HEAD + "description: ${tables}\ntables: ['${description}']\n", "interpolation"),
    (HEAD + "description: ${nowhere}\n", "the file has no 'nowhere'"),
    # kinds of values
    (HEAD + "axes: {rl.steps: [yes]}\n", "'yes' is not a whole number"),
    (HEAD + "axes: {rl.steps: [2.5]}\n", "2.5 is not a whole number"),
    (HEAD + "axes: {rl.lr: [true]}\n", "true is not a number"),
    (HEAD + "axes: {reward: [1]}\n", "a reward is a name"),
    (HEAD + "axes: {reward: [{components: {format: {kind: formt}}}]}\n", "did you mean 'format'?"),
    (HEAD + "axes: {train: [[sft, rll]]}\n", "did you mean 'rl'?"),
    (HEAD + "axes: {algorithm: [gropo]}\n", "did you mean 'grpo'?"),
    (HEAD + "axes: {data.limit.train: [3]}\n", "valid keys: base, benchmark, kind"),
    (HEAD + "axes: {rl.: [1]}\n", "has an empty part"),
    (HEAD + "axes: {verl.rll.trainer.nnodes: [1]}\n", "did you mean 'rl'?"),
    (HEAD + "models: [{kind: hugingface, name: x, path: y}]\n", "did you mean 'huggingface'?"),
    (HEAD + "models: [{kind: huggingface, nme: x, path: y}]\n", "did you mean 'name'?"),
    (HEAD + "seeds: [true]\n", "true is not a whole number"),
    (HEAD + "seeds: 3\n", "write [1, 2, 3], or [3] for"),
    (HEAD + "evaluate: toolworld\n", "write [toolworld]"),
    (
        HEAD + "evaluate: [toolworld, bfcl, toolworld]\n",
        "evaluate[2]: the benchmark 'toolworld' stands twice",
    ),
    # the part of a reward, the field and the block that are meant
    (
        HEAD + "arms: {a: {reward: {components: {c: {kind: correctness, granularity: fine}}}}}\n",
        "s.yaml:3: arms.a.reward.components.c.granularity: 'fine' is not valid",
    ),
    (
        HEAD + "arms:\n  a:\n    reward:\n      components:\n        f: {kind: format, weight: .nan}\n",
        "s.yaml:7: arms.a.reward.components.f.weight: nan is no finite number",
    ),
    (
        HEAD + "axes: {reward: [{components: {f: {kind: format, range: [1, 0]}}}]}\n",
        "(reward.components.f.range): the range [1, 0]",
    ),
    (
        "name: s\nbase: {preset: tiny_grpo, rl.prompts: 12}\naxes: {rl.lr: [0.1]}\n",
        "s.yaml:2: base.rl.prompts: ",
    ),
    (HEAD + "arms: {a: {steps: 3}}\n", "did you mean 'rl.steps' or 'sft.steps'?"),
    (HEAD + "critic_lr: 0.1\n", "did you mean 'rl.critic_lr'?"),
    (HEAD + "arms: {a: }\n", "write {} for no settings"),
    (HEAD + "ablate: {change: {reward: [coarse]}}\n", "a name and its settings"),
    ("name: s\nbase: {preset: {tiny_grpo: 1}}\n", "a preset is a name"),
    ("name: s\nbase: {preset: tiny_grpo, seed: 3}\n", "list it under `seeds:`"),
    ("name: s\nbase: [tiny_grpo]\n", "is not a mapping (for example `base: {preset: tiny_grpo}`)"),
    ("name: s\nbase:\n  preset: tiny_grpo\n  rl:\n    stpes: 3\n", "s.yaml:5: base.rl.stpes: unknown key"),
    ("name: s\nbase: {preset: paper_grpo}\n", "no model is named"),
    ("name: s\nbase: {model: tiny, reward: original}\n", "no data is named"),
    # what YAML and pydantic would say in words of their own
    ("name: 5\n", "s.yaml:1: name: 5 is not text (write '5' in quotes)"),
    ("name: s\nbase:\n", "base: null is not a mapping (write {} for no settings)"),
    (HEAD + "seeds: {range: 5}\n", "seeds.range: 5 is not a list (a range is [first, end]"),
    (HEAD + "seeds: {range: [1]}\n", "item 2 is missing (a range is [first, end]"),
    (HEAD + "seeds: {range: [0, 5, 1]}\n", "has 3 items, and 2 are the most"),
    (HEAD + "arms: {a: {train: sft}}\n", "arms.a.train: 'sft' is not a list (arm 'a'; write [sft])"),
    (HEAD + "arms: {a: {rl.lr: '1e-4'}}\n", "'1e-4' is not a number (arm 'a'; write 1e-4 without quotes)"),
    (HEAD + "arms: {a: {rl.kl: no}}\n", "'no' must be 'none', 'in_reward' or 'in_loss'"),
    (HEAD + "arms: {a: {rl.steps: 1:30}}\n", "'1:30' is not a whole number"),
    (HEAD + "arms: {a: {rl.steps: 99999999999999999999}}\n", "is too large a number"),
    (HEAD + "include: {rl.lr: 0.1}\n", "is not a list (write each as an item: `- …`)"),
    (HEAD + "ablate: [a]\n", "is not a mapping (for example `ablate: {baseline: {}, change:"),
    ("name: s\nbase: {preset: tiny_grpo, data: rlla}\n", "(arm 'run'; write {kind: rlla})"),
    (
        HEAD + "models: [{path: ./m}]\n",
        "the key 'kind' is missing (arm 'run'; add kind: huggingface)",
    ),
    ("name: s\nbase: {preset: 3}\n", "base.preset: 3 is no preset name"),
    ("name: s\nbase: {preset: {}}\n", "base.preset: {} is no preset name"),
    (
        HEAD + "arms: {a: {verl.rl.trainer.save_freq: .nan}}\n",
        "verl.rl.trainer.save_freq: nan is no finite number",
    ),
    (HEAD + "arms: {a: {rl.steps: {}}}\n", "arms.a.rl.steps: {} is not a whole number"),
    (HEAD + "arms: {a: {rl: {stpes: {}}}}\n", "arms.a.rl.stpes: unknown key 'stpes' (did you mean 'steps'?)"),
    (HEAD + "arms: {a: {rl.steps.x: 3}}\n", "'rl.steps' is a single value: nothing lies below it"),
    (HEAD + "base.rl.lr: 0.1\n", "'rl.lr' is a run setting: put it under base:"),
    (HEAD + "seed: 1\n", "s.yaml:3: seed: unknown key 'seed' (list it under `seeds:`)"),
    (HEAD + "base2: {}\n", "did you mean 'base'?"),
    (HEAD + "arms: {a: {seeds: [1]}}\n", "'seeds' is a key of the sweep: it stands on the left"),
    (HEAD + "exclude: [{seed: 1}]\n", "exclude[0]: a run's seed is not set here"),
    (HEAD + "exclude: [{arm: a}]\n", "unknown key 'arm' (name a setting by which the arm differs)"),
    (HEAD + "include: [{name: x}]\n", "include[0].name: unknown key 'name' (a cell is named by `arm:`)"),
    (HEAD + "include: [{arm: x}, {arm: x}]\n", "two cells are named 'x' (remove or rename one: "),
    (
        "name: s\nbase: {preset: tiny_grpo, evaluate: [bfcl]}\nevaluate: [toolworld]\n",
        "`evaluate` is set twice (keep one: s.yaml:2: base.evaluate; s.yaml:3: evaluate)",
    ),
    (HEAD + "arms: {a: {evaluate: [bfcl, bfcl]}}\n", "arms.a.evaluate: the benchmark 'bfcl' stands twice"),
]


@pytest.mark.parametrize(("text", "says"), FAULTS, ids=[says for _, says in FAULTS])
def test_a_mistake_gets_one_line_with_the_file_and_what_is_meant(
    resolve: Resolve, text: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as caught:
        resolve(text)
    line = str(caught.value).replace(f"{tmp_path}/", "")
    assert says in line
    assert "s.yaml" in line
    assert "\n" not in line


PIECES = [
    "name: s", "base: {preset: tiny_grpo}", "base: {}", "models: [tiny, qwen2.5-3b-instruct]", "models: [{}]",
    "axes: {reward: [original, coarse]}", "axes: {rl.lr: [1e-3, x, .nan]}", "axes: {a..b: [1]}", "axes: {: [1]}",
    "zip: {rl.lr: [0.1], rl.steps: [1]}", "arms: {a: {}, b: {train: []}}", "arms: {a: {reward: {}}}",
    "ablate: {change: {x: {rl: 3}}}", "when: {reward: {algorithm: [grpo]}}", "when: {rl.lr: {reward: [[]]}}",
    "exclude: [{reward: coarse}]", "exclude: [{reward: {a: 1}}]", "include: [{arm: z, model: 3}]",
    "seeds: {range: [0, 3]}", "seeds: [a]", "evaluate: [toolworld]", "evaluate: [[x]]", "tables: [T6]",
    "description: ${name}", "description: ${axes}", "<<: {name: t}", "base: &a {preset: *a}", "? {}", "- x",
]  # fmt: skip


def read_as_a_sweep(text: str) -> None:
    """Nothing but runs or one line comes of a text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fuzz.yaml")
        path.write_text(text, encoding="utf-8")
        try:
            runs = resolve_runs(read_sweep(path))
        except SpecError as error:
            assert "\n" not in str(error) and str(error).strip()
        else:
            assert runs


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=7, unique=True))
@settings(max_examples=300, deadline=None)
def test_pieces_of_sweeps_in_any_order_never_show_a_trace_back(pieces: list[str]) -> None:
    read_as_a_sweep("\n".join(pieces) + "\n")


@given(st.sampled_from([text for text, _ in FAULTS if len(text) < 400]), st.data())
@settings(max_examples=300, deadline=None)
def test_sweeps_with_a_place_overwritten_never_show_a_trace_back(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 6)))
    junk = data.draw(
        st.text(alphabet="{}[]:,-&*!|>'\"%@`#?~ \n\t.0159eE+_axnulotrsif\u00e9\u2028", max_size=8)
    )
    read_as_a_sweep(text[:start] + junk + text[end:])


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("rl.steps", "is not key=value"),
        ("=3", "is not key=value"),
        ("rll.steps=3", "did you mean 'rl'?"),
        ("rl.stepz=3", "did you mean 'steps'?"),
        ("rl.steps=[", "is not YAML"),
        ("lr=3", "did you mean 'rl.lr' or 'sft.lr'?"),
        ("seeds=3", "--set seeds: 3 is not a list (write [1, 2, 3], or [3] for that one seed)"),
        ("base.rl.steps=x", "--set base.rl.steps: 'x' is not a whole number"),
        ("preset=tiny_po", "--set preset: unknown preset 'tiny_po'"),
        ("seed=3", "--set seed: a run's seed is not set here"),
        ("rl.lr=!!python/object:os.x", "could not determine a constructor"),
        ("rl.prompts=12", "--set rl.prompts: prompts (12) must be a multiple"),
    ],
)
def test_a_faulty_set_is_named(resolve: Resolve, setting: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        resolve(HEAD, setting)
    assert says in str(caught.value)


@pytest.mark.parametrize("values", ["[1, true]", "[1, 1.0]", "[0, false]"])
def test_values_that_python_takes_for_equal_share_no_block(resolve: Resolve, values: str) -> None:
    key = "verl.rl.+trainer.any"
    arms = ", ".join(f"a{n}: {{{key}: {value}}}" for n, value in enumerate(values.strip("[]").split(",")))
    first, second = resolve(f"name: s\nbase: {{preset: tiny_grpo}}\narms: {{{arms}}}\n")
    options = [run.spec.verl.rl["+trainer.any"] for run in (first, second)]
    assert [type(value) for value in options] == [type(value) for value in yaml.safe_load(values)]


@pytest.mark.parametrize(
    ("axes", "condition", "applied"),
    [
        (
            "model: [tiny_base, Qwen/Qwen2.5-0.5B]",
            "model.kind: huggingface",
            ["tiny-base", "qwen-qwen2.5-0.5b"],
        ),
        ("model: [tiny_base, Qwen/Qwen2.5-0.5B]", "model.path: Qwen/Qwen2.5-0.5B", ["qwen-qwen2.5-0.5b"]),
        ("reward: [original, original@paper]", "reward.fidelity: paper", ["original-paper"]),
        ("reward: [original, coarse+dynamic]", "reward.granularity: coarse", ["coarse-dynamic"]),
        ("reward: [coarse, {granularity: coarse, scale: dynamic}]", "reward.name: coarse", ["coarse"]),
        (
            "reward: [original, finegrained]",
            "reward.components.format.weight: 1.0",
            ["original", "finegrained"],
        ),
    ],
)
def test_conditions_see_what_stands_behind_the_name_of_a_model_or_a_reward(
    grid: Callable[[str], Grid], axes: str, condition: str, applied: list[str]
) -> None:
    text = "name: s\nbase: {preset: tiny_grpo, train: [], evaluate: [toolworld]}\n"
    text += f"axes: {{{axes}, evaluation.limit: [5, 6]}}\n"
    found = grid(text + f"when: {{evaluation.limit: {{{condition}}}}}\n")
    twice = {cell.arm.removesuffix("-limit-5") for cell in found.cells if cell.arm.endswith("-limit-5")}
    assert twice == set(applied)


def test_conditions_see_what_stands_behind_the_name_that_a_preset_gives(grid: Callable[[str], Grid]) -> None:
    text = HEAD + "axes: {rl.steps: [1, 2]}\nexclude: [{reward.fidelity: released, rl.steps: 2}]\n"
    assert [cell.settings["rl.steps"] for cell in grid(text).dropped] == [2]


def test_a_kind_that_is_no_text_is_refused_beside_a_condition_too(resolve: Resolve) -> None:
    text = "name: s\nbase: {preset: tiny_grpo}\narms: {a: {data: {kind: [toolworld]}}, b: {}}\n"
    with pytest.raises(SpecError, match="'kind'"):
        resolve(text + "axes: {rl.steps: [1, 2]}\nwhen: {rl.steps: {data.val: 64}}\n")


def test_a_part_in_base_that_set_replaces_is_told_and_set_as_the_hint_says(
    resolve: Resolve, tmp_path: Path
) -> None:
    base = "name: s\nbase: {preset: tiny_grpo, reward: original, data.val: 7}\n"
    (tmp_path / "s.yaml").write_text(base, encoding="utf-8")
    found = resolve_sweep(read_sweep(tmp_path / "s.yaml", ["data={kind: toolworld}"]))
    assert found.runs[0].spec.data.val == 64
    assert any("--set data: takes the place of data.val, too" in line for line in found.grid.warnings)
    arms = base + "arms: {x: {data: {kind: toolworld}}}\n"
    with pytest.raises(SpecError, match=r"or --set data\.val=7"):
        resolve(arms)
    (run,) = resolve(arms, "data.val=7")
    assert run.spec.data.val == 7


ARMS = "arms: {a: {rl.steps: 5}, b: {rl.steps: 5, reward: coarse}}\n"


@pytest.mark.parametrize(
    ("text", "sets", "says"),
    [
        (ARMS, ["base.rl.steps=15"], "--set base.rl.steps: changes nothing: every arm sets rl.steps"),
        (ARMS, ["base.rl={steps: 15}"], "base.rl.steps: changes nothing: every arm sets rl.steps"),
        (ARMS, ["base.rl.steps=15", "rl.steps=3"], "--set rl.steps takes its place"),
        ("axes: {preset: [tiny_grpo, tiny_ppo]}\n", [], "s.yaml:2: base.preset: changes nothing: every arm"),
        ("arms: {a: {lora: null}}\n", ["base.lora.rank=4"], "every arm sets lora.rank"),
        ("arms: {a: {reward.fidelity: paper}}\n", ["base.reward.fidelity=released"], "sets reward.fidelity"),
        ("arms: {a: {evaluate: [toolworld]}}\n", ["evaluate=[toolworld]"], "--set evaluate: changes nothing"),
    ],
)  # fmt: skip
def test_a_setting_of_base_that_reaches_no_run_is_told(
    tmp_path: Path, text: str, sets: list[str], says: str
) -> None:
    (tmp_path / "s.yaml").write_text(HEAD + text, encoding="utf-8")
    warnings = resolve_sweep(read_sweep(tmp_path / "s.yaml", sets)).grid.warnings
    assert [line for line in warnings if says in line], warnings


@pytest.mark.parametrize(
    "block",
    ["rl", "lora", "model", "data", "data.limit", "verl.rl", "stages", "reward", "evaluation.bamboogle"],
)
def test_set_of_an_empty_block_is_refused(resolve: Resolve, block: str) -> None:
    with pytest.raises(SpecError, match=rf"--set {block}: is an empty block, which changes nothing"):
        resolve(HEAD + ARMS, f"{block}={{}}")


def test_a_setting_of_base_that_one_run_has_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(HEAD + "arms: {a: {rl.steps: 5}, b: {}}\n", encoding="utf-8")
    assert not resolve_sweep(read_sweep(tmp_path / "s.yaml", ["base.rl.steps=15"])).grid.warnings
    assert not resolve_sweep(read_sweep(tmp_path / "s.yaml", ["base.rl.lr=0.1"])).grid.warnings


@pytest.mark.parametrize("name", sorted(USUAL))
def test_what_other_trainers_call_a_setting_is_known(resolve: Resolve, name: str) -> None:
    block = "sft" if USUAL[name] == "epochs" else "rl"
    if name not in fields_at((block,)):
        with pytest.raises(SpecError, match=rf"unknown key '{name}'.*did you mean '{USUAL[name]}'"):
            resolve(HEAD, f"{block}.{name}=3")


def test_a_setting_of_base_that_another_refers_to_is_not_told(tmp_path: Path) -> None:
    text = "name: s\nbase: {preset: tiny_grpo, rl.lr: 1e-4, sft.lr: '${base.rl.lr}'}\naxes: {rl.lr: [1e-4, 1e-3]}\n"
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    assert not resolve_sweep(read_sweep(tmp_path / "s.yaml")).grid.warnings


def test_set_of_a_part_of_what_has_none_in_the_file_is_refused(resolve: Resolve) -> None:
    with pytest.raises(SpecError, match=r"--set arms.a.rl.steps.*\['a', 'b'\] in the file"):
        resolve("name: s\nbase: {preset: tiny_grpo}\narms: [a, b]\n", "arms.a.rl.steps=3")


def test_a_part_in_base_whose_whole_set_gives_every_arm_is_told_too(tmp_path: Path, resolve: Resolve) -> None:
    text = "name: s\nbase: {preset: tiny_grpo, model.pretrain.steps: 10, data: {kind: toolworld}}\n"
    (tmp_path / "s.yaml").write_text(text + "models: [tiny]\n", encoding="utf-8")
    for text_set in (
        "models=[qwen2.5-1.5b-instruct]",
        "axes.model=[qwen2.5-1.5b-instruct]",
        "model=tiny_base",
    ):
        source = text if text_set.startswith("axes") else text + "models: [tiny]\n"
        (tmp_path / "s.yaml").write_text(source, encoding="utf-8")
        found = resolve_sweep(read_sweep(tmp_path / "s.yaml", [text_set]))
        assert any("takes the place of model.pretrain.steps, too" in line for line in found.grid.warnings)
    with pytest.raises(SpecError, match=r"every arm gives the whole of model.*remove it"):
        resolve(text + "models: [qwen2.5-1.5b-instruct]\n")


def test_set_of_a_part_beside_a_name_in_the_file_changes_what_the_name_stands_for(resolve: Resolve) -> None:
    text = "name: s\nbase: {preset: tiny_grpo, model: tiny}\narms: {a: {reward: original}, b: {}}\n"
    a, b = resolve(text, "arms.a.reward.components.format.weight=2", "base.model.seed=4")
    assert a.spec.reward["components"]["format"]["weight"] == 2 and a.spec.model.seed == 4
    assert b.spec.reward["components"]["format"]["weight"] != 2


def pasted(hint: str, key: str) -> str | None:
    """The value that a hint says to write for a key; None where it says none."""
    found = re.search(rf"for example `{re.escape(key)}: (.*?)`|write (.*)", hint)
    value = found and (found[1] or found[2])
    return value and re.sub(
        r"( for none| for no settings| in quotes| without quotes|; kinds: .*|, or \[.*)$", "", value
    )


WRONG = ("null", "3", "true", "{a: 1}", "[null]", "''")
RIGHT = {
    "seeds": "3",
    "models": "tiny",
    "evaluate": "toolworld",
    "tables": "toolworld",
    "train": "rl",
    "axes.rl.lr": "0.1",
    "axes.lora": "null",
    "zip.rl.lr": "0.1",
    "data": "toolworld",
    "model": "tiny",
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            (key, v)
            for key in (*SweepFile.model_fields, *RunSpec.model_fields)
            for v in WRONG
            if key != "when" and (key, v) != ("base", "null")
        ),
        *RIGHT.items(),
        *((f"rl.{key}", "null") for key in RlSpec.model_fields),
        ("arms.a", "null"),
        ("axes.rl.lr", "null"),
        ("zip.rl.lr", "null"),
        ("verl.rl", "null"),
    ],
)
def test_what_a_hint_says_to_write_is_accepted(tmp_path: Path, key: str, value: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + "evaluate: [toolworld]\n", encoding="utf-8")
    try:
        resolve_sweep(read_sweep(path, [f"{key}={value}"]))
    except SpecError as fault:
        write = pasted(fault.hint, key)
        if write and "…" not in write and fault.where.endswith((f"--set {key}", f": {key}")):
            try:
                resolve_sweep(read_sweep(path, [f"{key}={write}"]))
            except SpecError as second:
                raise AssertionError(f"{fault.hint!r} gives {second}") from None
