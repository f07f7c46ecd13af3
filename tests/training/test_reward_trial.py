"""Users' reward functions, tried when a sweep is planned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.spec.conftest import FixedFacts
from toolrl_cli.datasets.verl_rows import rl_row, write_parquet
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stages import run_stages
from toolrl_cli.spec.sweeps.resolve import resolve_runs
from toolrl_cli.spec.sweeps.sweep import read_sweep
from toolrl_cli.training.checking import reward_trial
from toolrl_cli.training.checking.reward_trial import try_rewards

Planned = Callable[..., list[StageSpec]]


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    """Source of a function `f` → the stages of a sweep whose reward it is part of."""
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))

    def make(source: str, keys: str = "", steps: int = 7) -> list[StageSpec]:
        (tmp_path / "mine.py").write_text(source, encoding="utf-8")
        part = f"{{kind: python, path: mine.py, function: f{keys}}}"
        text = f"name: s\nbase:\n  preset: tiny_grpo\n  rl.steps: {steps}\n  reward: {{components: {{own: {part}}}}}\n"
        (tmp_path / "s.yaml").write_text(f"{text}seeds: [0, 1]\n", encoding="utf-8")
        runs = resolve_runs(read_sweep(tmp_path / "s.yaml", ()))
        return [stage for run in runs for stage in run_stages(run.spec, FixedFacts())]

    return make


@pytest.mark.parametrize(
    ("source", "what", "hint"),
    [
        ("def f(completion): return 1 / 0", "f raised ZeroDivisionError", "train row 0 at step 0 of 7"),
        ("def f(step): return 1 / (step - 1)", "f raised ZeroDivisionError", "train row 0 at step 1 of 7"),
        ("def f(step): return 1 / (step - 7)", "f raised ZeroDivisionError", "train row 0 at step 7 of 7"),
        ("def f(extra_info): return 3 - extra_info['index'] or None", "f returned None", "train row 3 at step 1"),
        ("def f(question): return 1", "'question', which is no input of a component", "inputs: completion, "),
        ("raise OSError('no model')\ndef f(): return 1", "f cannot be imported: OSError: no model", "mine.py"),
        ("import os\ndef f(): os._exit(0)", "f ended its process with status 0", "mine.py"),
        ("def f(): return 9.0", "its weighted value is inf", "lower its weight"),
    ],
)  # fmt: skip
def test_a_function_that_fails_on_gold_rows_is_found_before_anything_is_spent(
    planned: Planned, source: str, what: str, hint: str
) -> None:
    (finding,) = try_rewards(planned(source, ", weight: 1e308" if "9.0" in source else ""))
    assert finding.setting == "reward.components.own"
    assert what in finding.fault.what and hint in finding.fault.hint
    assert len(finding.stages) == 2  # both seeds', told once


def test_a_batch_function_is_tried_alone_and_with_as_many_as_a_group_has(planned: Planned) -> None:
    (finding,) = try_rewards(planned("def f(completions): return [1.0]", ", batch: true"))
    assert "f returned 1 values for 8 responses" in finding.fault.what
    assert "train row 0 at step 0 of 7, 8 times" in finding.fault.hint
    assert not try_rewards(planned("def f(completions): return [1.0 for _ in completions]", ", batch: true"))


def test_a_function_that_does_not_return_is_given_up_after_its_time(planned: Planned) -> None:
    (finding,) = try_rewards(planned("def f():\n    while True: pass", ", timeout: 0.2"))
    assert "did not end within 0.2 s" in finding.fault.what


def test_what_passed_is_remembered_until_a_file_or_the_run_s_length_changes(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    real = reward_trial._score
    monkeypatch.setattr(reward_trial, "_score", lambda *given: (tried.append(given[2:4]), real(*given)))
    assert try_rewards(planned("def f(): return 1")) == []
    assert tried == [(0, 0), (0, 1), (0, 7), (1, 1), (2, 1), (3, 1)]
    tried.clear()
    assert try_rewards(planned("def f(): return 1")) == [] == tried
    assert try_rewards(planned("def f(): return 2")) == [] and tried
    tried.clear()
    assert try_rewards(planned("def f(): return 2", steps=8)) == [] and tried


def test_what_failed_is_tried_again(planned: Planned) -> None:
    for _ in range(2):
        assert len(try_rewards(planned("def f(): return None"))) == 1


def test_a_reward_file_that_changes_is_read_again_in_the_same_process(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: s\nbase: {preset: tiny_grpo, reward: mine.yaml}\n", encoding="utf-8"
    )
    for name in ("coarse", "original"):
        (tmp_path / "mine.yaml").write_text(f"name: {name}\n", encoding="utf-8")
        (run,) = resolve_runs(read_sweep(tmp_path / "s.yaml", ()))
        assert run.spec.reward["name"] == name


GOLD = '<think> a </think>\n<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call>'


@pytest.mark.parametrize(
    ("golds", "settings", "told"),
    [
        ([""] * 3, "reward: original", ["3 of the first 3 gold answers earn less than the most (row 0: "]),
        ([GOLD] * 70 + ["x"], "reward: original", ["1 of the first 71 gold answers earn less than the most (row 70: "]),
        ([GOLD] * 2 + ["x"], "reward: original, data.limit.train: 2", []),  # a row that nothing trains on
        ([""] * 3, "reward: original, rl.allow_imperfect_gold: true", []),
        ([GOLD], "reward: original", []),
    ],
)  # fmt: skip
def test_gold_answers_in_files_are_judged_by_the_paper_s_rewards_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golds: list[str], settings: str, told: list[str]
) -> None:
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))
    rows = [rl_row("s", f"u {n}", gold, data_source="x", index=n, extra={}) for n, gold in enumerate(golds)]
    write_parquet(rows, tmp_path / "train.parquet")
    write_parquet(rows, tmp_path / "test.parquet")
    (tmp_path / "rlla_sft.json").write_text('[{"instruction": "s", "input": "u", "output": "a"}]')
    for data in (
        "{kind: verl, train: train.parquet, val: test.parquet}",
        f"{{kind: rlla, path: {tmp_path}}}",
    ):
        text = f"name: s\nbase: {{preset: tiny_grpo, data: {data}, {settings}}}\n"
        (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
        (run,) = resolve_runs(read_sweep(tmp_path / "s.yaml", ()))
        findings = try_rewards(run_stages(run.spec, FixedFacts()))
        assert [one.fault.what[: len(start)] for one, start in zip(findings, told, strict=True)] == told


def test_a_part_that_is_punished_at_some_step_is_tried_on_generated_rows(tmp_path: Path) -> None:
    weight = "{kind: step, at: 5, from: 1, to: -1}"
    reward = f"{{components: {{format: {{weight: {weight}}}, correctness: {{}}}}}}"
    text = f"name: s\nbase: {{preset: tiny_grpo, reward: {reward}}}\n"
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    (run,) = resolve_runs(read_sweep(tmp_path / "s.yaml", ()))
    (finding,) = try_rewards(run_stages(run.spec, FixedFacts()))
    assert "(row 0 from step 5 on: format -1 of 0)" in finding.fault.what


def test_a_source_that_no_row_of_one_s_own_has_is_found_before_anything_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))
    rows = [rl_row("s", f"u {n}", GOLD, data_source="a", index=n, extra={}) for n in range(3)]
    write_parquet(rows, tmp_path / "rows.parquet")
    data = "{kind: verl, train: rows.parquet, val: rows.parquet}"
    for source, count in (("a", 0), ("B", 1)):
        parts = f"{{format: {{}}, correctness: {{sources: [{source}]}}}}"
        (tmp_path / "s.yaml").write_text(
            f"name: s\nbase: {{preset: tiny_grpo, data: {data}, reward: {{components: {parts}}}}}\n",
            encoding="utf-8",
        )
        (run,) = resolve_runs(read_sweep(tmp_path / "s.yaml", ()))
        findings = try_rewards(run_stages(run.spec, FixedFacts()))
        assert [one.fault.what for one in findings] == ["no row is of these sources"] * count
