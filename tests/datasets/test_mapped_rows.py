"""Rows of the user's own whose fields are named by a mapping."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

from tests.datasets.test_own_rows import GOLD, TOOL, lines
from toolrl_cli.datasets import mapped_rows
from toolrl_cli.datasets.converting.mapped import at, paths_of
from toolrl_cli.datasets.prepare import dataset_fingerprint, first_rows, read_manifest, write_dataset
from toolrl_cli.errors import SpecError
from toolrl_cli.rewards import get_reward
from toolrl_cli.rewards.gold import check_gold
from toolrl_cli.rewards.reading import row_facts
from toolrl_cli.spec.run.data_settings import DataSpec
from toolrl_cli.training.rollout_dumps import gold_rows

CALLS = [{"name": "f", "arguments": {"a": 1}}]
FIELDS = {"prompt": "q", "gold": "meta.answer", "tools": "meta.tools"}
SPOKEN = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "q"},
    {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": CALLS[0]}]},
    {"role": "tool", "content": '{"ok": true}'},
    {"role": "assistant", "content": "Done."},
]


def row(**changes: Any) -> dict[str, Any]:
    return {"q": "question", "meta": {"answer": CALLS, "tools": [TOOL], **changes}}


def params(folder: Path, *rows: Any, fields: Any = FIELDS, **limit: int) -> dict[str, Any]:
    path = str(lines(folder / "rows.jsonl", *rows))
    return {"files": {"train": path, "val": path}, "fields": fields, "limit": limit}


def taken(folder: Path, *rows: Any, fields: Any = FIELDS) -> list[dict[str, Any]]:
    given = params(folder, *rows, fields=fields)
    return mapped_rows.load(given["files"], fields, {})[0]["train"]


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        (CALLS, '<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call>'),
        (CALLS[0], '{"name": "f", "parameters": {"a": 1}}'),
        (json.dumps(CALLS), '{"name": "f", "parameters": {"a": 1}}'),
        ([{"function": {"name": "f", "arguments": '{"a": 1}'}}], '{"name": "f", "parameters": {"a": 1}}'),
        ("No tool fits.", "<response> No tool fits. </response>"),
        (GOLD, GOLD),
        (
            '<think> t </think>\n<tool_call>\n{"name": "f",\n "arguments": {"a": 1}}\n</tool_call>\n'
            "<tool_call>{'name': 'f', 'arguments': {'a': 2}}</tool_call>",
            '<think> t </think>\n<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n'
            '{"name": "f", "parameters": {"a": 2}}\n</tool_call>',
        ),
    ],
)
def test_a_gold_answer_is_calls_or_words_or_a_whole_turn_and_earns_the_most(
    tmp_path: Path, answer: Any, gold: str
) -> None:
    (made,) = taken(tmp_path, row(answer=answer))
    truth = made["reward_model"]["ground_truth"]
    assert gold in truth and truth.startswith("<think> ")
    system, user = made["prompt"]
    assert system["content"].count("**Available Tools**") == 1 and "Name: f" in system["content"]
    assert user["content"].endswith("<user> question </user>")
    assert json.loads(made["extra_info"]["tools"])[0]["name"] == "f"
    assert check_gold(get_reward("original"), [truth]).ok


def test_without_tools_the_prompt_is_the_rows_own(tmp_path: Path) -> None:
    history = [*SPOKEN[:2], {"role": "assistant", "content": "Which?"}, {"role": "user", "content": "All."}]
    fields = {"prompt": "q", "gold": "meta.answer"}
    one, other = taken(tmp_path, row(), {**row(), "q": history}, fields=fields)
    assert one["prompt"] == [{"role": "user", "content": "question"}]
    assert other["prompt"] == history
    assert "tools" not in one["extra_info"]


def test_each_turn_of_the_assistant_in_a_dialogue_is_a_row(tmp_path: Path) -> None:
    dialogue = {"chat": SPOKEN, "tools": [TOOL]}
    fields = {"messages": "chat", "tools": "tools"}
    call, words = taken(tmp_path, dialogue, fields=fields)
    assert '{"name": "f", "parameters": {"a": 1}}' in call["reward_model"]["ground_truth"]
    assert words["reward_model"]["ground_truth"].endswith("<response> Done. </response>")
    told = words["prompt"][1]["content"]
    assert call["reward_model"]["ground_truth"] in told and '<obs> {"ok": true} </obs>' in told
    assert [each["extra_info"]["id"] for each in (call, words)] == ["rows:1-0", "rows:1-1"]
    _, notes = mapped_rows.load(params(tmp_path, dialogue)["files"], fields, {})
    assert notes[0].endswith(
        "rows lose its own system message, in whose place that of the tools stands (1: line 1)"
    )


def test_words_beside_calls_are_lost_and_told(tmp_path: Path) -> None:
    spoken = [SPOKEN[1], {**SPOKEN[2], "content": "Let me see."}]
    fields = {"messages": "chat", "tools": "tools"}
    files = params(tmp_path, {"chat": spoken, "tools": [TOOL]})["files"]
    rows, notes = mapped_rows.load(files, fields, {})
    assert "Let me see." not in rows["train"][0]["reward_model"]["ground_truth"]
    assert notes[0].endswith("rows lose the words beside its calls (1: line 1)")


def test_a_row_tells_its_source_its_name_and_its_thought(tmp_path: Path) -> None:
    fields = {**FIELDS, "think": "why", "data_source": "from", "id": "n", "extra_info": "more"}
    given = {**row(), "why": " because ", "from": "mine", "n": 7, "more": {"level": 3}}
    (made,) = taken(tmp_path, given, fields=fields)
    assert made["reward_model"]["ground_truth"].startswith("<think> because </think>")
    extra = row_facts(made)["extra_info"]
    assert (extra["data_source"], extra["id"], extra["level"], extra["index"]) == ("mine", "7", 3, 0)
    assert taken(tmp_path, row())[0]["extra_info"]["data_source"] == mapped_rows.SOURCE
    own = {**given, **row(answer=GOLD)}
    _, (told, *_) = mapped_rows.load(params(tmp_path, own)["files"], fields, {})
    assert told.endswith("rows lose its thought, in whose place that of the gold turn stands (1: line 1)")


def test_what_cannot_be_taken_is_counted_by_reason_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    bad = [
        row(answer=[{"name": "g", "arguments": {}}]),
        row(answer=None),
        row(tools=[]),
        {"q": ""},
        row(answer=[]),
    ]
    rows = [
        row(),
        *bad,
        row(answer="[{"),
        row(answer="\ud83d"),
        row(answer="<tool_call>\n{\n</tool_call>"),
        row(answer="<tool_call>{'name': 'f', 'arguments': {'a': {1}}}</tool_call><tool_call>{}</tool_call>"),
        row(answer='<tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>\n<tool_call>\n{}'),
        row(),
    ]
    path.write_text("\n".join(map(json.dumps, rows[:3])) + "\n\n" + "\n".join(map(json.dumps, rows[3:])))
    given = {"files": {"train": str(path), "val": str(path)}, "fields": FIELDS, "limit": {"val": 1}}
    made = write_dataset("jsonl", given, tmp_path / "data")
    assert made.files["train"].rows == 2 and made.files["val"].rows == 1
    (train,) = made.notes  # of the other split one row was enough
    assert train == (
        f"{path}: 10 of 12 rows refused: a tool is called that is not offered (1: line 2); "
        "nothing stands at 'meta.answer' (1: line 3); no tools are offered (2: lines 5, 6); "
        "the assistant neither calls nor says anything (1: line 7); the calls are no JSON (1: line 8); "
        r"holds half a character ('\ud83d', a lone surrogate) (1: line 9); "
        "the calls of the gold turn are not one JSON object a line (1: line 10); "
        "the arguments of a call are no JSON (1: line 11); "
        "of several <tool_call> blocks of the gold turn one is not closed (1: line 12)"
    )
    assert read_manifest(tmp_path / "data") == made
    assert [name for name, _, _ in gold_rows(tmp_path / "data/train.parquet")] == [
        "0 (rows:1)",
        "1 (rows:13)",
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {**FIELDS, "prompt": "question"},
            r"data\.fields\.prompt: no row of .* has 'question' \(valid fields: meta",
        ),
        ({**FIELDS, "gold": "meta.answers"}, r"data\.fields\.gold: .*did you mean 'meta\.answer'\?"),
        ({**FIELDS, "id": "idx"}, r"data\.fields\.id: no row of .* has 'idx'"),
        (
            {**FIELDS, "prompt": "meta"},
            "none of 1 rows can be taken: what stands at 'meta' is no text and no messages",
        ),
        ({**FIELDS, "data_source": "meta"}, "what stands at 'meta' is no text"),
        ({**FIELDS, "extra_info": "q"}, "what stands at 'q' is no object"),
    ],
)
def test_a_mapping_that_finds_nothing_is_refused_with_what_there_is(
    tmp_path: Path, fields: dict[str, str], message: str
) -> None:
    given = params(tmp_path, row(), fields=fields)
    with pytest.raises(SpecError, match=message):
        first_rows("jsonl", given, "train", 2)
    with pytest.raises(SpecError, match=message):
        write_dataset("jsonl", given, tmp_path / "data")


def test_a_fingerprint_is_of_content_mapping_and_limits_and_of_no_place(tmp_path: Path) -> None:
    given = params(tmp_path, row())
    before = dataset_fingerprint("jsonl", given)
    (tmp_path / "elsewhere").mkdir()
    assert dataset_fingerprint("jsonl", params(tmp_path / "elsewhere", row())) == before
    others = [{**given, "limit": {"train": 1}}, {**given, "fields": {**FIELDS, "id": "q"}}]
    assert before not in [dataset_fingerprint("jsonl", other) for other in others]
    lines(tmp_path / "rows.jsonl", row(answer="no"))
    assert dataset_fingerprint("jsonl", given) != before


def test_sft_rows_are_learnt_from_the_same_form_and_parquet_is_read_too(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([row()]), tmp_path / "rows.parquet")
    splits, notes = mapped_rows.load({"sft": str(tmp_path / "rows.parquet")}, FIELDS, {})
    (made,) = splits["sft"]
    assert [message["role"] for message in made["messages"]] == ["system", "user", "assistant"]
    assert notes == ()


def test_a_path_goes_through_keys_and_positions_and_a_key_with_dots_comes_first() -> None:
    found = {"a": [{"b": 1}, {"b": 2}], "a.0.b": 3, "c": {"d.e": 4}}
    values = [at(found, path) for path in ("a.0.b", "a.1.b", "a.-1.b", "a.2.b", "a.b", "c.d.e")]
    assert values == [3, 2, 2, None, None, None]
    assert paths_of([found])[:4] == ["a", "a.0", "a.0.b", "c"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tools": "a"}, "names neither messages, nor prompt and gold"),
        ({"prompt": "a"}, "prompt needs gold beside it"),
        ({"gold": "a"}, "gold needs prompt beside it"),
        ({"prompt": "a", "gold": "b", "messages": "c"}, "leave out the other keys"),
        ({"messages": "c", "think": "d"}, "leave out the other keys"),
        ({"promt": "a", "gold": "b"}, "promt"),
    ],
)
def test_a_mapping_names_a_dialogue_or_a_prompt_and_its_answer(fields: dict[str, str], message: str) -> None:
    data = {"kind": "jsonl", "train": "a", "val": "b", "fields": fields}
    with pytest.raises(ValidationError, match=message):
        TypeAdapter[Any](DataSpec).validate_python(data)
