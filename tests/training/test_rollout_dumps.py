"""verl's files read back: which rows, which attempt, which reward, and what cannot be had exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolrl_cli.datasets.verl_rows import rl_row, write_parquet
from toolrl_cli.errors import SpecError
from toolrl_cli.rewards import get_reward
from toolrl_cli.rewards.comparing.rescore import score_rollouts
from toolrl_cli.training.rollout_dumps import (
    Dump,
    Reproduction,
    gold_rows,
    origin_of,
    read_file,
    read_stage,
    reproduce,
    special_tags,
)

GOLD = '<think> t </think>\n<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call>'
OTHER = GOLD.replace("1", "2")
UID = "09f13554-71e8-4b31-ae8e-2d95fec155b8"


def line(output: str = GOLD, step: int = 1, session: int = 0, **more: Any) -> dict[str, Any]:
    """A line as verl 0.9.1 writes it, scored by `original`."""
    score = get_reward("original").score(output, GOLD).total
    row = {"input": "p", "output": output, "gts": GOLD, "score": score, "step": step}
    return {**row, "uid": f"{UID}_{session}_0", **more}


def write(path: Path, rows: list[dict[str, Any]], tail: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail, encoding="utf-8")
    return path


def make_stage(tmp_path: Path, config: dict[str, Any] | None = None, **inputs: str) -> Path:
    stage = tmp_path / "stages" / "rl" / "grpo-0123456789"
    write(stage / "attempts/1/rollouts/1.jsonl", [line(), line(OTHER, session=1)])
    spec = {"total_steps": 9, "inputs": inputs, "config": config or {}}
    (stage / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    reward = {"name": "original", **get_reward("original").to_dict()}
    for attempt in ("1", "2"):
        folder = stage / "attempts" / attempt
        folder.mkdir(exist_ok=True)
        (folder / "reward.json").write_text(json.dumps(reward), encoding="utf-8")
    return stage


def reproduced(dump: Dump) -> Reproduction:
    reward = get_reward("original")
    scored = score_rollouts(dump.rollouts, [reward], dump.total_steps)
    return reproduce(dump, reward, [total for (total,) in scored.totals.values()])


def test_a_stage_knows_the_reward_and_the_length_that_its_rollouts_were_scored_with(tmp_path: Path) -> None:
    dump = read_stage(make_stage(tmp_path), "run")
    assert (dump.name, dump.reward, dump.total_steps) == ("run", get_reward("original"), 9)
    assert [(r.group, r.step) for r in dump.rollouts] == [(UID, 1), (UID, 1)]
    assert dump.notes == () and dump.fault == ""
    found = reproduced(dump)
    assert (found.logged, found.error, found.wrong) == (2, 0.0, ())


def test_of_a_step_that_was_run_twice_the_later_attempt_counts(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    write(stage / "attempts/1/rollouts/2.jsonl", [line(GOLD, 2)])
    write(stage / "attempts/2/rollouts/2.jsonl", [line(OTHER, 2)])
    write(stage / "attempts/2/rollouts/10.jsonl", [line(GOLD, 10)])
    dump = read_stage(stage, "run")
    assert [r.step for r in dump.rollouts] == [1, 1, 2, 10]
    assert dump.rollouts[2].completion == OTHER
    assert dump.places[2] == f"{stage}/attempts/2/rollouts/2.jsonl:1"


def test_a_whole_dump_of_an_earlier_attempt_counts_before_a_torn_one_of_a_later(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    write(stage / "attempts/1/rollouts/2.jsonl", [line(GOLD, 2)])
    write(stage / "attempts/2/rollouts/2.jsonl", [line(OTHER, 2)], tail='{"inp')
    (stage / "attempts/2/rollouts/1.jsonl").touch()
    assert [r.completion for r in read_stage(stage, "run").rollouts] == [GOLD, OTHER, GOLD]


def test_a_torn_last_line_is_left_out_and_said(tmp_path: Path) -> None:
    dump = read_file(write(tmp_path / "d.jsonl", [line()], tail='{"input": "p", "outp'))
    assert len(dump.rollouts) == 1
    assert dump.notes == (f"{tmp_path}/d.jsonl:2: the last line is torn and was left out",)


def test_validation_is_another_dump(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    write(stage / "attempts/1/validation/0.jsonl", [line(OTHER, 0, reward=-1.0)])
    dump = read_stage(stage, "run", "validation")
    assert [(r.step, r.completion) for r in dump.rollouts] == [(0, OTHER)]


def test_the_rows_that_fill_verl_s_batch_are_no_rollouts(tmp_path: Path) -> None:
    padding = line("", uid=f"pad{'0a' * 16}_3_0", score=0.0)
    dump = read_file(write(tmp_path / "d.jsonl", [line(), padding]))
    assert len(dump.rollouts) == 1
    assert reproduced(dump).error == 0


def test_a_run_without_dumps_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no validation to rescore .*toolrl show RUN"):
        read_stage(make_stage(tmp_path), "run", "validation")


def test_scores_that_the_reward_does_not_give_are_named_by_file_and_line(tmp_path: Path) -> None:
    lost = line(score=4.0, output=GOLD.replace("<tool_call>", ""))  # as a dump without special tokens has it
    unlogged = {key: value for key, value in line(OTHER).items() if key != "score"}
    dump = read_file(write(tmp_path / "d.jsonl", [line(), lost, unlogged]))
    found = reproduced(dump)
    assert (found.logged, found.error, found.exact) == (2, 7.0, False)
    assert found.wrong == (f"{tmp_path}/d.jsonl:2",)


def test_a_score_rounded_to_float32_is_reproduced(tmp_path: Path) -> None:
    import numpy as np

    near = GOLD.replace('"a"', '"b"')
    score = get_reward("original").score(near, GOLD).total
    dump = read_file(write(tmp_path / "d.jsonl", [line(near, score=float(np.float32(score)))]))
    assert reproduced(dump).exact


@pytest.mark.parametrize("config", ["added_tokens", "added_tokens_decoder", "additional_special_tokens"])
def test_a_tokenizer_that_holds_tags_for_special_is_found_out(tmp_path: Path, config: str) -> None:
    tokens = [
        {"content": "<tool_call>", "special": True},
        {"content": "<think>", "special": False},
        {"content": "<|im_end|>", "special": True},
    ]
    document: dict[str, Any] = {"added_tokens": tokens}
    if config == "added_tokens_decoder":
        document = {config: {str(i): token for i, token in enumerate(tokens)}}
    elif config == "additional_special_tokens":
        document = {config: ["<tool_call>", "<|im_end|>"]}
    name = "tokenizer.json" if config == "added_tokens" else "tokenizer_config.json"
    (tmp_path / name).write_text(json.dumps(document), encoding="utf-8")
    assert special_tags(tmp_path) == ("<tool_call>",)


def test_a_tokenizer_that_is_not_at_hand_has_no_known_special_tags(tmp_path: Path) -> None:
    assert special_tags(None) == special_tags(tmp_path) == ()


def test_the_tiny_model_s_tokenizer_keeps_every_tag_in_a_dump(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from toolrl_cli.training.models.tiny_tokenizer import write_tokenizer

    write_tokenizer(tmp_path, 512)
    assert special_tags(tmp_path) == ()
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}', encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer(GOLD + "<|im_end|>")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == GOLD  # what verl's dump does


@pytest.mark.parametrize("place", ["stage", "folder"])
def test_a_run_whose_tokenizer_loses_tags_is_noted(tmp_path: Path, place: str) -> None:
    model = tmp_path / "stages/export/base-0/output/model"
    model.mkdir(parents=True)
    tokens = [{"content": "</tool_call>", "special": True}]
    (model / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}), encoding="utf-8")
    if place == "stage":
        stage = make_stage(tmp_path, model="base-0")
    else:
        stage = make_stage(tmp_path, {"model": {"kind": "huggingface", "path": str(model)}})
    (told,) = read_stage(stage, "run").notes
    assert told.startswith("the tokenizer holds </tool_call> for special")


@pytest.mark.parametrize(
    "model",
    [{"kind": "tiny"}, {"kind": "huggingface", "path": "/gone"}, {"kind": "huggingface", "path": "a/b"}],
)
def test_a_model_that_is_not_at_hand_is_no_fault(tmp_path: Path, model: dict[str, str]) -> None:
    assert read_stage(make_stage(tmp_path, {"model": model}), "run").notes == ()


def test_a_run_whose_reward_has_changed_since_says_so(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    (tmp_path / "mine.py").write_text("def f(): return 0", encoding="utf-8")
    part = {"kind": "python", "path": str(tmp_path / "mine.py"), "function": "f", "sha256": "0" * 64}
    (stage / "attempts/1/reward.json").write_text(json.dumps({"components": {"mine": part}}))
    dump = read_stage(stage, "run")
    assert dump.reward is None and "has changed since the reward was resolved" in dump.fault
    (stage / "attempts/1/reward.json").unlink()
    assert read_stage(stage, "run").fault.endswith("reward.json is missing")


def test_a_file_outside_a_run_has_no_origin(tmp_path: Path) -> None:
    assert origin_of(tmp_path / "d.jsonl") == origin_of(Path("d.jsonl"))
    assert origin_of(tmp_path / "d.jsonl").reward is None


def test_fields_may_have_any_name(tmp_path: Path) -> None:
    rows = [{"text": GOLD, "answer": GOLD, "prompt_id": 7, "completion": "not this", "value": 4}]
    fields = {"completion": "text", "logged": "value"}
    (rollout,) = read_file(write(tmp_path / "d.jsonl", rows), fields, step=3).rollouts
    assert (rollout.completion, rollout.ground_truth, rollout.group) == (GOLD, GOLD, "7")
    assert (rollout.step, rollout.logged) == (3, 4.0)


@pytest.mark.parametrize(
    ("text", "fields", "message"),
    [
        ("", {}, r"d\.jsonl: holds no rollouts"),
        ("{bad}\n", {}, r"d\.jsonl:1: is not JSON"),
        ("\n[]\n", {}, r"d\.jsonl:2: is no JSON object"),
        ('{"output": "x", "gts": "y"}\n', {}, r"d\.jsonl:1: has no group .*--field group=NAME"),
        ('{"output": 3, "gts": "y", "uid": 1}\n', {}, r"d\.jsonl:1: its completion is no text"),
        ('{"output": "x", "gts": "y", "uid": 1, "score": "high"}\n', {}, r"logged score is no number: .*high"),
        ('{"output": "x", "gts": "y", "uid": 1, "score": NaN}\n', {}, r"its logged score is nan"),
        ('{"output": "x"}\n', {"completion": "text"}, r"has no 'text' \(--field completion=text asks"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_named_by_line(
    tmp_path: Path, text: str, fields: dict[str, str], message: str
) -> None:
    (tmp_path / "d.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        read_file(tmp_path / "d.jsonl", fields)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nowhere\.jsonl: cannot be read: No such file"):
        read_file(tmp_path / "nowhere.jsonl")


def test_gold_answers_are_named_by_position_and_id(tmp_path: Path) -> None:
    rows = [
        rl_row("s", "u", gold, data_source="x", index=i, extra={"id": f"x-{i}"})
        for i, gold in enumerate([GOLD, OTHER])
    ]
    write_parquet(rows, tmp_path / "a.parquet")
    prompt = [{"content": "s", "role": "system"}, {"content": "u", "role": "user"}]
    known = [
        {"data_source": "x", "extra_info": {"index": i, "id": f"x-{i}"}, "prompt": prompt} for i in range(2)
    ]
    assert gold_rows(tmp_path / "a.parquet") == [("0 (x-0)", GOLD, known[0]), ("1 (x-1)", OTHER, known[1])]
    write_parquet([{"reward_model": {"ground_truth": GOLD}}], tmp_path / "b.parquet")
    assert [row[:2] for row in gold_rows(tmp_path / "b.parquet")] == [("0", GOLD)]


def test_a_file_without_gold_answers_is_refused(tmp_path: Path) -> None:
    write_parquet([{"messages": []}], tmp_path / "sft.parquet")
    with pytest.raises(SpecError, match="has no column reward_model"):
        gold_rows(tmp_path / "sft.parquet")
    write_parquet([{"reward_model": {"ground_truth": None}}], tmp_path / "null.parquet")
    with pytest.raises(SpecError, match="row 0 has no ground truth"):
        gold_rows(tmp_path / "null.parquet")
    (tmp_path / "text.parquet").write_text("no parquet", encoding="utf-8")
    with pytest.raises(SpecError, match="cannot be read as parquet"):
        gold_rows(tmp_path / "text.parquet")
    with pytest.raises(SpecError, match="cannot be read as parquet"):
        gold_rows(tmp_path / "nowhere.parquet")
