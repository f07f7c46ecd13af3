from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.builder import Tree, bfcl_scores
from toolrl_cli.report.api import build_report
from toolrl_cli.report.arms import collect_arms, fitting, grouped, holds
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
        ({"rl.steps": "25"}, True),
        ({"rl.steps": ["x", "25.0"]}, True),
        ({"rl.steps": "26"}, False),
        ({"seed": "1"}, True),
        ({"rl.no_such": "–"}, False),
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
    assert list(grouped(arms, "model")) == ["m2", "m1"]
    assert grouped(arms, None) == {"": arms}
    assert grouped([], "model") == {"": []}


def test_a_condition_on_what_runs_of_an_arm_differ_in_leaves_those_that_meet_it(tree: Tree) -> None:
    for sweep, seed in (("first", 1), ("first", 2), ("more", 3)):
        tree.sweep(sweep).run("a", seed)
    root = tree.write()
    (arm,) = collect_arms([read_sweep(root, "first"), read_sweep(root, "more")])

    def seeds(**conditions: object) -> list[int]:
        return [run.seed for found in fitting([arm], conditions) for run in found.runs]

    assert (seeds(), seeds(seed=2), seeds(seed=[3, 1])) == ([1, 2, 3], [2], [1, 3])
    assert (seeds(sweep="first"), seeds(sweep="more", train="rl")) == ([1, 2], [3])
    assert (seeds(seed=4), seeds(seed=3, sweep="first"), seeds(seed=1, train="sft")) == ([], [], [])
    parts = {value: [run.seed for run in part.runs] for value, (part,) in grouped([arm], "sweep").items()}
    assert parts == {"first": [1, 2], "more": [3]}


def test_a_reward_whose_schedule_was_stretched_stands_in_the_row_of_its_design(tree: Tree) -> None:
    tree.sweep().run("short", reward="dynamic-25-steps")
    arm = collect_arms([read_sweep(tree.write(), "demo")])[0]
    assert holds(arm, {"reward": "dynamic"}) and holds(arm, {"reward": "dynamic-25-steps"})
    assert not holds(arm, {"reward": "original"})


def shared(tree: Tree) -> Path:
    """The baseline of one sweep is an arm of another, which has more benchmarks and more seeds."""
    for seed in (1, 2, 3):
        for arm, reward in (("original", "original"), ("dynamic", "dynamic")):
            run = tree.sweep("t6").run(
                arm, seed, model="m", reward=reward, benchmarks=("bfcl",), label=reward
            )
            run.done(bfcl_scores(0.4 + 0.01 * seed + 0.2 * (arm == "dynamic")), "bfcl")
    for seed in (1, 2, 3, 4):
        run = tree.sweep("t1").run(
            "grpo-cold", seed, model="m", benchmarks=("bfcl", "api_bank"), label="original"
        )
        run.done(bfcl_scores(0.4 + 0.01 * seed), "bfcl").done({"overall": 0.5}, "api_bank")
    return tree.write()


def test_arms_whose_evaluations_are_the_same_stages_are_one(tree: Tree) -> None:
    root = shared(tree)
    arms = collect_arms([read_sweep(root, name) for name in ("t6", "t1")])
    assert [(arm.name, arm.aliases) for arm in arms] == [("original", ("grpo-cold",)), ("dynamic", ())]
    assert holds(arms[0], {"arm": "grpo-*"}) and holds(arms[0], {"arm": "orig*"})
    report = build_report(root, (), ["T6", "T2", "bfcl"])
    t6, t2, bfcl = report.tables
    assert [row.cells["overall"].state for row in t6.rows if row.source_arm] == ["", ""]
    assert t6.rows[0].cells["overall"].n == 4 and t6.rows[3].cells["overall"].star
    assert [row.source_arm for row in t2.rows if row.source_arm] == ["grpo-cold"]
    assert "The same stages under several names are one arm: grpo-cold is also original." in bfcl.notes
    assert [p.a for p in report.pairs("original", "dynamic")] == ["m / Original", "grpo-cold"]


def test_other_evaluations_of_one_seed_are_not_the_same_stages(tree: Tree) -> None:
    tree.sweep("one").run("a", 1, checkpoints=("last",), label="x")
    tree.sweep("two").run("b", 1, checkpoints=("last", "best"), label="x")
    root = tree.write()
    assert [a.name for a in collect_arms([read_sweep(root, n) for n in ("one", "two")])] == ["a", "b"]


def test_arms_that_share_the_evaluations_of_one_seed_alone_are_two(tree: Tree) -> None:
    for name, checkpoints in (("one", ("last",)), ("two", ("last", "best"))):
        tree.sweep(name).run(f"arm-{name}", 1, label="x")
        tree.sweep(name).run(f"arm-{name}", 2, checkpoints=checkpoints, label="x")
    root = tree.write()
    arms = collect_arms([read_sweep(root, name) for name in ("one", "two")])
    assert [arm.name for arm in arms] == ["arm-one", "arm-two"]
