"""`toolrl init`: what it writes runs as it is, and nothing is overwritten."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from tests.commands.conftest import Toolrl
from toolrl_cli.benchmarks.own import template as evaluation
from toolrl_cli.datasets.prepare import first_rows
from toolrl_cli.datasets.verl_rows import write_parquet
from toolrl_cli.rewards import get_reward
from toolrl_cli.rewards.gold import check_gold
from toolrl_cli.spec.sweeps.reading.source import read_yaml
from toolrl_cli.spec.sweeps.schema import sweep_schema
from toolrl_cli.training.rollout_dumps import gold_rows


def test_what_init_writes_runs_as_it_is(
    toolrl: Toolrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = toolrl("init", "first")
    assert written.code == 0 and "first/mine.yaml" in written.out.splitlines()
    assert "cd first && toolrl sweep mine" in written.err
    monkeypatch.chdir(tmp_path / "first")
    jsonschema.validate(read_yaml(Path("mine.yaml")).data, sweep_schema())
    answer = toolrl("plan", "mine", "--json")
    assert answer.code == 0, answer.err
    assert [run["id"] for run in answer.json["runs"]] == ["original-seed1", "mine-seed1"]
    assert [stage["owed"] for stage in answer.json["stages"]] == [True] * 8
    assert "warning" not in answer.err


def test_the_reward_and_the_evaluation_of_init_can_be_used_at_once(toolrl: Toolrl, tmp_path: Path) -> None:
    """Every gold answer earns the most that there is, also where no call is wanted; a training begins with that."""
    toolrl("init")
    reward = get_reward(str(tmp_path / "my_reward.yaml"))
    write_parquet(first_rows("toolworld", {}, "train", 200), tmp_path / "rows.parquet")
    report = check_gold(reward, gold_rows(tmp_path / "rows.parquet"), total_steps=10)
    report.raise_if_imperfect("rows.parquet")
    assert reward.score("word " * 200, "<response> hi </response>").parts["brief"].weighted == 0.25
    (item,) = evaluation.items()
    assert evaluation.judge(item, "It is 4.") and not evaluation.judge(item, "five")


@pytest.mark.parametrize("there", ["my_reward.py", "mine.yaml"])
def test_init_overwrites_nothing_and_writes_nothing_where_one_file_is_there(
    toolrl: Toolrl, tmp_path: Path, there: str
) -> None:
    (tmp_path / there).write_text("mine")
    answer = toolrl("init")
    assert answer.code == 2 and f".: {there} is there already, and nothing is overwritten" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"
