"""`plan` and `sweep` on what the grammar dropped, benchmarks without a runner, and profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.conftest import SWEEP, Toolrl
from toolrl_cli.spec.evaluations.benchmarks import BENCHMARKS
from toolrl_cli.store.ledger import Ledger

GRID = """
name: small
base: {preset: tiny_grpo, rl.steps: 2}
axes:
  algorithm: [grpo, ppo]
  rl.critic_warmup: [0, 1]
when: {rl.critic_warmup: {algorithm: ppo}}
exclude: [{algorithm: ppo, rl.critic_warmup: 1}]
evaluate: [toolworld]
"""
PAPER = """
name: small
base: {preset: paper_grpo, rl.steps: 21}
models: [qwen2.5-1.5b-instruct, qwen2.5-3b-instruct]
arms: {raw: {train: []}, two_stage: {reward: two_stage}}
evaluate: [bfcl, api_bank]
tables: [T6]
"""


def write(text: str) -> None:
    Path("small.yaml").write_text(text, encoding="utf-8")


def test_explain_names_the_rule_behind_every_cell(toolrl: Toolrl) -> None:
    write(GRID)
    answer = toolrl("plan", "small.yaml", "--explain", "--json")
    assert answer.code == 0, answer.err
    cells = {(c["arm"], c["kept"]): c for c in answer.json["cells"]}
    assert cells["grpo", True]["from"] == ["small.yaml:5: axes.algorithm[0]"]
    assert cells["grpo", False]["rule"] == "when" and cells["grpo", False]["same_as"] == "grpo"
    assert cells["grpo", False]["where"] == "small.yaml:7: when.rl.critic_warmup"
    assert cells["ppo-critic-warmup-1", False]["where"] == "small.yaml:8: exclude[0]"
    assert len(cells) == 4
    told = toolrl("plan", "small.yaml", "--explain").out
    assert "small.yaml: 2 cells, 2 dropped" in told and "left out: line 8: exclude[0]" in told
    part = toolrl("plan", "small.yaml", "--explain", "--only", "grpo").out
    assert (
        "2 cells, 2 dropped; --only keeps 1" in part
        and "axes.algorithm[1]" not in part.split("exclude")[0][:200]
    )


def test_cells_are_no_part_of_a_plan_that_was_not_to_be_explained(toolrl: Toolrl) -> None:
    write(GRID)
    assert "cells" not in toolrl("plan", "small.yaml", "--json").json


def test_a_rule_that_excludes_nothing_is_a_warning(toolrl: Toolrl) -> None:
    write(SWEEP + "exclude: [{reward: dynamic}]\n")
    answer = toolrl("plan", "small.yaml")
    assert answer.code == 0
    assert "warning: small.yaml:7: exclude[0]: excludes nothing" in answer.err


@pytest.fixture
def no_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """This version has no runner for `bfcl`."""
    why = "bfcl has no runner in this version of toolrl"
    monkeypatch.setattr(BENCHMARKS.get("bfcl"), "why_not_run", why)


@pytest.mark.usefixtures("no_runner")
def test_a_benchmark_without_a_runner_is_planned_as_blocked(toolrl: Toolrl) -> None:
    write(SWEEP.replace("evaluate: [toolworld]", "evaluate: [toolworld, bfcl]"))
    stages = toolrl("plan", "small.yaml", "--json").json["stages"]
    blocked = [s for s in stages if s["status"] == "blocked"]
    assert len(blocked) == 3 and all(s["owed"] and s["id"].startswith("bfcl-") for s in blocked)
    assert all(s["reason"].startswith("bfcl has no runner in this version of toolrl") for s in blocked)
    assert "3 stages cannot run: bfcl has no runner" in toolrl("plan", "small.yaml").out


@pytest.mark.usefixtures("no_runner")
def test_a_sweep_runs_what_it_can_and_ends_with_what_it_could_not(toolrl: Toolrl, tmp_path: Path) -> None:
    write(SWEEP.replace("evaluate: [toolworld]", "evaluate: [toolworld, bfcl]"))
    for _ in range(2):
        answer = toolrl("sweep", "small.yaml")
        assert answer.code == 1
        last = answer.err.strip().splitlines()[-1]
        assert last == "small: not run: bfcl has no runner in this version of toolrl (3 stages)"
        assert "Overall" in answer.out
    states = list(Ledger(tmp_path / "results").states())
    assert {state.status for state in states} == {"succeeded"}
    assert not [state for state in states if state.id.startswith("bfcl")]
    assert toolrl("resume", "small").code == 1


def test_a_profile_runs_the_sweep_in_small_beside_the_real_one(toolrl: Toolrl, tmp_path: Path) -> None:
    write(PAPER)
    answer = toolrl("sweep", "small.yaml", "--profile", "cpu")
    assert answer.code == 0, answer.err
    assert "reward two_stage: its schedule over 5 steps instead of 21" in answer.err
    assert [p.name for p in (tmp_path / "results/sweeps").iterdir()] == ["small-cpu"]
    shown = toolrl("show", "two_stage-seed1", "--json").json
    rl = next(s for s in shown["stages"] if s["kind"] == "rl")
    assert rl["config"]["reward"]["name"] == "two_stage-5-steps" and rl["config"]["rl"]["steps"] == 5
    assert {r["arm"] for r in toolrl("status", "small-cpu", "--json").json["runs"]} == {"raw", "two_stage"}
    explained = toolrl("plan", "small.yaml", "--profile", "cpu", "--explain", "--json").json["cells"]
    assert [c["where"] for c in explained if not c["kept"]] == ["--profile cpu"] * 2


@pytest.mark.parametrize("command", ["plan", "sweep"])
def test_an_unknown_profile_is_one_line(toolrl: Toolrl, sweep_file: Path, command: str) -> None:
    answer = toolrl(command, "small.yaml", "--profile", "gpu")
    assert answer.code == 2
    assert answer.err == "error: --profile: unknown profile 'gpu' (did you mean 'cpu'?)\n"


def test_the_data_of_the_paper_is_asked_for_by_name(toolrl: Toolrl) -> None:
    write(PAPER)
    answer = toolrl("plan", "small.yaml")
    assert answer.code == 2
    assert (
        "the released data rlla are not there: rlla_sft.json is missing (toolrl data prepare rlla"
        in answer.err
        and answer.err.count("\n") == 1
    )


def test_a_mistake_in_a_table_of_ones_own_is_placed_in_its_file(toolrl: Toolrl, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\ncolums: [overall]\n", encoding="utf-8")
    write("name: small\nbase: {preset: tiny_grpo}\ntables: [./mine.yaml]\n")
    answer = toolrl("plan", "small.yaml")
    assert answer.code == 2
    place = f"small.yaml:3: tables[0] ({tmp_path / 'mine.yaml'}:2: colums)"
    assert answer.err == f"error: {place}: unknown key 'colums' (did you mean 'columns'?)\n"


def test_rewards_that_differ_in_ranges_alone_are_told_to_train_alike_under_gdpo(toolrl: Toolrl) -> None:
    given = "name: small\nbase: {preset: tiny_grpo, algorithm: ALGORITHM}\n"
    given += "axes: {reward: [original, equal_max, coarse]}\n"
    write(given.replace("ALGORITHM", "gdpo"))
    told = (
        "warning: 'original', 'equal-max' train alike: GDPO normalises each part of the reward in its group"
    )
    assert told in toolrl("plan", "small.yaml").err
    write(given.replace("ALGORITHM", "grpo"))
    assert "train alike" not in toolrl("plan", "small.yaml").err


@pytest.mark.parametrize(
    ("reward", "told"),
    [
        ("tool_n1", "64 of the first 64 gold answers earn less than the most"),
        ("{components: {exact: {reading: hermes}}}", "`reading: toolrl` reads these"),
        ("{components: {exact: {sources: [nowhere]}}}", "exact.sources: no row is of these sources"),
        ("{components: {f: {kind: faults, of: unknown_tools}}}", "does not say which tools it offers"),
    ],
)
def test_a_reward_that_no_gold_answer_can_earn_is_refused_when_planned(
    toolrl: Toolrl, reward: str, told: str
) -> None:
    given = "name: small\nbase:\n  preset: tiny_grpo\n  model: tiny_base\n"
    write(f"{given}  reward: {reward}\nevaluate: [toolworld]\n")
    answer = toolrl("plan", "small.yaml")
    assert answer.code == 2 and told in answer.err and answer.err.count("\n") == 1
    if "sources" not in reward and "faults" not in reward:
        write(f"{given}  reward: {reward}\n  rl.allow_imperfect_gold: true\nevaluate: [toolworld]\n")
        assert toolrl("plan", "small.yaml").code == 0


def test_arms_of_the_same_stages_are_told_with_what_makes_no_difference(toolrl: Toolrl) -> None:
    write("name: small\nbase: {preset: tiny_grpo, train: [sft]}\naxes: {reward: [original, coarse]}\n")
    answer = toolrl("plan", "small.yaml")
    assert answer.code == 0
    assert "warning: 'original' and 'coarse' are the same stages: reward changes nothing there" in answer.err
    same = toolrl("plan", "small.yaml", "--set", "reward=length").err
    assert "'original' and 'coarse' are the same setting twice" in same and "are the same stages" not in same
    write("name: small\nbase: {preset: tiny_grpo, train: []}\nseeds: [1, 2]\nevaluate: [toolworld]\n")
    assert toolrl("plan", "small.yaml").err == ""


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("models: [./nowhere]", "small.yaml:3: models[0] (model.path): no such model folder: /"),
        (
            "arms: {a: {data: {kind: rlla}}}",
            "small.yaml:3: arms.a.data (data.path): the released data rlla are not there",
        ),
        (
            "arms: {a: {data: {kind: rlla, path: /no}}}",
            "small.yaml:3: arms.a.data.path: '/no' is not a folder",
        ),
        ("tables: [T6, T6]", "small.yaml:3: tables[1]: the table 'T6' stands twice"),
        (
            "arms: {a: {rl.micro_batch: 8}, b: {rl.lr: 0.1, rl.micro_batch: 3}}",
            "small.yaml:3: arms.b.rl.micro_batch: micro-batches of 3 do not divide",
        ),
    ],
)
def test_what_is_missing_or_does_not_fit_is_placed_in_the_file(
    toolrl: Toolrl, settings: str, says: str
) -> None:
    write(f"name: small\nbase: {{preset: tiny_grpo}}\n{settings}\n")
    answer = toolrl("plan", "small.yaml")
    assert answer.code == 2 and answer.err.startswith(f"error: {says}"), answer.err
