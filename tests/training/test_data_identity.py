"""Rows that are no longer those that a stage was planned for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.configs import rl_config, sft_config, whole_config
from toolrl_cli.benchmarks.evaluation import _benchmark
from toolrl_cli.datasets import own_rows
from toolrl_cli.datasets.prepare import write_dataset
from toolrl_cli.errors import BenchmarkError, SpecError, StageError
from toolrl_cli.spec.kind_configs import EvaluateConfig
from toolrl_cli.spec.stage import StageContext, StageSpec
from toolrl_cli.training.data_identity import check_data, data_fingerprint

GOLD = '<think> t </think>\n<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call>'


def rl_rows(path: Path, question: str) -> Path:
    row = {
        "data_source": "mine",
        "prompt": [{"role": "user", "content": question}],
        "reward_model": {"ground_truth": GOLD},
    }
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return path


def sft_rows(path: Path, answer: str) -> Path:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]
    path.write_text(json.dumps({"messages": turns}) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["sft", "rl"])
def test_a_training_does_not_start_on_rows_that_changed_after_it_was_planned(
    kind: str, tmp_path: Path
) -> None:
    files = {split: str(rl_rows(tmp_path / f"{split}.jsonl", split)) for split in ("train", "val")}
    files["sft"] = str(sft_rows(tmp_path / "sft.jsonl", GOLD))
    data = {"kind": "verl", **files}
    config = sft_config(data=data) if kind == "sft" else rl_config(data=data)
    splits = ("sft",) if kind == "sft" else ("train", "val")
    spec = StageSpec("x", kind, {"data": data_fingerprint(config.data, splits)})
    check_data(spec, config)
    other = {
        "sft": lambda: sft_rows(tmp_path / "sft.jsonl", "no"),
        "rl": lambda: rl_rows(tmp_path / "val.jsonl", "b"),
    }
    other["rl" if kind == "sft" else "sft"]()
    check_data(spec, config)  # those of another kind are not its own
    other[kind]()
    with pytest.raises(StageError, match="the rows have changed since the stage was planned") as caught:
        check_data(spec, config)
    assert caught.value.failure_class == "config" and str(tmp_path) in str(caught.value)


def test_rows_that_change_while_they_are_read_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rl_rows(tmp_path / "rows.jsonl", "a")
    load = own_rows.load

    def late(*given: Any) -> Any:
        rl_rows(path, "another")
        return load(*given)

    monkeypatch.setattr(own_rows, "load", late)
    params = {"files": {"train": str(path), "val": str(path)}}
    with pytest.raises(SpecError, match="changed while they were read"):
        write_dataset("verl", params, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_an_evaluation_is_not_asked_under_another_protocol_than_planned(tmp_path: Path) -> None:
    (tmp_path / "documents.txt").write_text("Rome is the capital of Italy.")
    evaluation = {"bamboogle": {"search": str(tmp_path / "documents.txt"), "judge": None}}
    given = {"benchmark": "bamboogle", "evaluation": evaluation}
    told = {"protocol": "bamboogle, documents 0, matching words"}
    config = EvaluateConfig.model_validate({**whole_config("evaluate", given), **told})
    with pytest.raises(BenchmarkError, match="its protocol has changed since it was planned") as caught:
        _benchmark(config, StageContext(StageSpec("x", "evaluate", {}), tmp_path, tmp_path, tmp_path, {}))
    assert "documents 0" in str(caught.value)
