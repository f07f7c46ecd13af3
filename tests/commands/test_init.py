"""`toolrl init`: what it writes runs as it is, and nothing is overwritten."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from tests.commands.conftest import Toolrl
from toolrl_cli.benchmarks.own import template as evaluation
from toolrl_cli.rewards import get_reward
from toolrl_cli.spec.sweeps.schema import sweep_schema
from toolrl_cli.spec.sweeps.source import read_yaml


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
    toolrl("init")
    text = '<think> a </think>\n<tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>'
    score = get_reward(str(tmp_path / "my_reward.yaml")).score(text, text)
    assert score.parts["brief"].weighted == 0.5
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
