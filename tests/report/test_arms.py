from __future__ import annotations

import pytest

from tests.report.builder import Tree
from toolrl_cli.report.arms import collect_arms, groups_of, holds
from toolrl_cli.report.sources.saved_sweeps import read_sweep


def test_runs_of_one_arm_come_together_in_the_order_of_the_sweep(tree: Tree) -> None:
    for seed in (1, 2):
        tree.sweep().run("b", seed)
        tree.sweep().run("a", seed, reward="coarse")
    arms = collect_arms([read_sweep(tree.write(), "demo")])
    assert [(a.name, [r.seed for r in a.runs]) for a in arms] == [("b", [1, 2]), ("a", [1, 2])]


def test_a_sweep_that_adds_seeds_adds_to_the_same_arm(tree: Tree) -> None:
    tree.sweep("first").run("a", 1)
    tree.sweep("more").run("a", 2)
    root = tree.write()
    arms = collect_arms([read_sweep(root, "first"), read_sweep(root, "more")])
    assert [(a.name, [r.seed for r in a.runs]) for a in arms] == [("a", [1, 2])]


def test_two_sweeps_arms_of_one_name_and_other_settings_stay_apart(tree: Tree) -> None:
    tree.sweep("first").run("a", 1, steps=25)
    tree.sweep("long").run("a", 1, steps=50)
    root = tree.write()
    arms = collect_arms([read_sweep(root, "first"), read_sweep(root, "long")])
    assert [a.name for a in arms] == ["a [first]", "a [long]"]
    assert holds(arms[1], {"arm": "a \\[long\\]"}) or holds(arms[1], {"arm": "a*"})


@pytest.mark.parametrize(
    ("conditions", "met"),
    [
        ({}, True),
        ({"train": "rl"}, True),
        ({"train": ["none", "rl"]}, True),
        ({"reward": "Coarse"}, True),
        ({"reward": ["original", "coarse"]}, True),
        ({"reward": {"name": "coarse"}}, True),
        ({"reward": "original"}, False),
        ({"model": "Qwen/qwen2.5-3B-instruct"}, True),
        ({"rl.steps": 25}, True),
        ({"rl.steps": True}, False),
        ({"rl.no_such": None}, True),
        ({"arm": "QWEN*"}, True),
        ({"arm": ["x", "y*"]}, False),
        ({"train": "rl", "algorithm": "ppo"}, False),
    ],
)
def test_a_condition_is_met_by_the_setting_whatever_form_it_was_given_in(
    tree: Tree, conditions: dict[str, object], met: bool
) -> None:
    tree.sweep().run("qwen-coarse", model="qwen2.5-3b-instruct", reward="coarse")
    (arm,) = collect_arms([read_sweep(tree.write(), "demo")])
    assert holds(arm, conditions) is met


def test_groups_appear_in_the_order_of_the_sweep(tree: Tree) -> None:
    for model in ("m2", "m1"):
        tree.sweep().run(f"{model}-a", model=model)
    arms = collect_arms([read_sweep(tree.write(), "demo")])
    assert groups_of(arms, "model") == ["m2", "m1"]
    assert groups_of(arms, None) == [""]
    assert groups_of([], "model") == [""]


def test_a_reward_whose_schedule_was_stretched_stands_in_the_row_of_its_design(tree: Tree) -> None:
    tree.sweep().run("short", reward="dynamic-25-steps")
    arm = collect_arms([read_sweep(tree.write(), "demo")])[0]
    assert holds(arm, {"reward": "dynamic"}) and holds(arm, {"reward": "dynamic-25-steps"})
    assert not holds(arm, {"reward": "original"})
