"""A sweep's paths begin in its own folder, wherever it is planned from and under every profile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.model_folders import write_model
from toolrl_cli.planning.loading import load
from toolrl_cli.report.table_spec import load_table
from toolrl_cli.spec.sweeps.profile import names

SWEEP = """
name: mine
base:
  preset: tiny_grpo
  train: [rl]
  rl: {prompts: 8, mini_batch: 8, max_prompt_length: 1024}
  reward:
    components:
      format: {range: [0, 1], schedule: {kind: linear, until: 20, from: [0, 0.5]}}
      own: {kind: python, path: own/scorer.py, function: score, range: [0, 1]}
arms:
  rows: {data: {kind: jsonl, train: own/rows.jsonl, val: ./own/rows.jsonl, fields: {prompt: q, gold: calls}}}
  filed: {reward: own/reward.yaml}
  folder: {model: ./own/model, train: [], evaluate: [./own/my_eval.py]}
evaluate: [toolworld, own/my_eval.py, {command: [python, own/judge.py, "{model}"], name: judged}]
tables: [own/table.yaml, ./own/second.yml, toolworld]
"""
TABLE = "name: {}\ntitle: t\nbenchmark: my_eval\ncolumns: [{{name: overall, label: O}}]\n"
EVALUATION = (
    'def items():\n    return [{"prompt": "2 + 2?"}]\n\n\ndef judge(item, output):\n    return True\n'
)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    own = tmp_path / "sweeps" / "own"
    own.mkdir(parents=True)
    write_model(own / "model")
    row = {"q": "do it", "calls": [{"name": "f", "arguments": {}}]}
    for name, text in {
        "scorer.py": "def score(completion, ground_truth):\n    return len(completion) % 2\n",
        "rows.jsonl": (json.dumps(row) + "\n") * 80,
        "my_eval.py": EVALUATION,
        "judge.py": "",
        "reward.yaml": "components: {own: {kind: python, path: scorer.py, function: score, range: [0, 1]}}\n",
        "table.yaml": TABLE.format("first"),
        "second.yml": TABLE.format("second"),
    }.items():
        (own / name).write_text(text)
    (own.parent / "mine.yaml").write_text(SWEEP)
    return own.parent / "mine.yaml"


@pytest.mark.parametrize("profile", [None, *names()])
def test_a_plan_is_the_same_from_every_working_folder(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str | None
) -> None:
    monkeypatch.chdir(sweep.parent)
    beside = load(Path(sweep.name), tmp_path / "results", profile=profile).plan
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    far = load(sweep, tmp_path / "results", profile=profile).plan
    assert (far.stages.keys(), far.tables) == (beside.stages.keys(), beside.tables)
    assert {load_table(name).name for name in beside.tables} == {"first", "second", "toolworld"}
    assert [s.spec.config for s in far.stages.values()] == [s.spec.config for s in beside.stages.values()]


def test_a_table_that_set_gives_lies_in_the_working_folder(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd/own").mkdir(parents=True)
    (tmp_path / "cwd/own/table.yaml").write_text(TABLE.format("here"))
    monkeypatch.chdir(tmp_path / "cwd")
    plan = load(sweep, tmp_path / "results", sets=["tables=[own/table.yaml]"]).plan
    assert [load_table(name).name for name in plan.tables] == ["here"]
