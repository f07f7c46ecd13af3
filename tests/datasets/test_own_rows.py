"""Rows of the user's own, and files of common sets that are converted to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from toolrl_cli.datasets import own_rows
from toolrl_cli.datasets.converting.convert import convert
from toolrl_cli.datasets.prepare import dataset_fingerprint, first_rows, write_dataset
from toolrl_cli.errors import SpecError
from toolrl_cli.rewards import get_reward
from toolrl_cli.rewards.gold import check_gold
from toolrl_cli.rewards.reading import row_facts
from toolrl_cli.training.rollout_dumps import gold_rows

GOLD = '<think> t </think>\n<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call>'
TOOL = {
    "name": "f",
    "description": "F.",
    "parameters": {"a": {"type": "int, optional", "description": "an a"}},
}


def rl(**changes: Any) -> dict[str, Any]:
    row = {
        "data_source": "mine",
        "prompt": [{"role": "user", "content": "q"}],
        "reward_model": {"ground_truth": GOLD},
    }
    return {**row, **changes}


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def params(folder: Path, *rows: Any, **limit: int) -> dict[str, Any]:
    path = str(lines(folder / "rows.jsonl", *rows))
    return {"files": {"train": path, "val": path}, "limit": limit}


def test_a_reward_is_given_what_its_row_says_and_nothing_of_other_rows(tmp_path: Path) -> None:
    own = [{"must": {"k0": 0}}, {"must": {"k1": [1]}, "level": 1}, {"level": "hard"}, {}]
    given = params(tmp_path, *(rl(extra_info=extra) for extra in own))
    write_dataset("verl", given, tmp_path / "data")
    trained = [facts["extra_info"] for _, _, facts in gold_rows(tmp_path / "data/train.parquet")]
    planned = [row_facts(row)["extra_info"] for row in first_rows("verl", given, "train", 4)]
    for found in (trained, planned):
        ours = ("index", "split", "id", "data_source")
        assert [{k: v for k, v in extra.items() if k not in ours} for extra in found] == own
    mixed = params(tmp_path, rl(extra_info={"tools_kwargs": 1}), rl(extra_info={"tools_kwargs": "x"}))
    with pytest.raises(SpecError, match="values of one column are of several types"):
        write_dataset("verl", mixed, tmp_path / "other")


def test_rows_of_any_turns_and_sources_become_verls_and_rewards_see_their_own_source(tmp_path: Path) -> None:
    turns = [{"role": role, "content": role} for role in ("system", "user", "assistant", "tool")]
    tools = [{"name": "f", "parameters": {"required": ["a"]}}]
    given = params(
        tmp_path, rl(prompt=turns, extra_info={"tools": tools, "k": 1}), rl(data_source="other"), train=1
    )
    manifest = write_dataset("verl", given, tmp_path / "data")
    assert {split: entry.rows for split, entry in manifest.files.items()} == {"train": 1, "val": 2}
    (row,) = pq.read_table(tmp_path / "data/train.parquet").to_pylist()
    assert row["prompt"] == turns and row["data_source"] == own_rows.SOURCE
    assert json.loads(row["extra_info"]["tools"]) == tools
    assert row_facts(row)["extra_info"]["k"] == 1
    sources = [known["data_source"] for _, _, known in gold_rows(tmp_path / "data/val.parquet")]
    assert sources == ["mine", "other"]
    assert first_rows("verl", given, "val", 1)[0]["prompt"] == turns
    reward = get_reward({"components": {"exact": {"sources": "other"}}})
    assert [reward.score(GOLD, GOLD, row={"data_source": source}).total for source in sources] == [0, 1]


def test_a_fingerprint_is_of_content_and_limits_and_of_the_splits_that_are_read(tmp_path: Path) -> None:
    given = params(tmp_path, rl())
    before = dataset_fingerprint("verl", given)
    (tmp_path / "elsewhere").mkdir()
    assert dataset_fingerprint("verl", params(tmp_path / "elsewhere", rl())) == before
    assert dataset_fingerprint("verl", {**given, "limit": {"train": 1}}) != before
    lines(tmp_path / "rows.jsonl", rl(data_source="x"))
    assert dataset_fingerprint("verl", given) != before


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (rl(prompt="text"), "row 0: prompt is no list of messages"),
        (rl(prompt=[{"role": "human", "content": "q"}]), "a message without role or text"),
        (
            rl(prompt=[{"role": "user", "content": "q", "tool_calls": [1]}]),
            "'tool_calls', which would be lost",
        ),
        (rl(reward_model={"ground_truth": {"a": 1}}), "no text reward_model.ground_truth"),
        (rl(reward_model=None), "no text reward_model.ground_truth"),
        (rl(data_source=""), "no text data_source"),
        (rl(extra_info=[1]), "extra_info is no object"),
        (rl(data_source="\ud83d"), "half a character"),
    ],
)
def test_a_row_that_is_none_is_named(tmp_path: Path, row: Any, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        write_dataset("verl", params(tmp_path, row), tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("rows.csv", "a,b", "neither .parquet nor .jsonl"),
        ("rows.jsonl", "", "has no rows"),
        ("rows.jsonl", "[1]", r"rows.jsonl:1: is no JSON object"),
        ("rows.jsonl", '{"a": 1}\n{', r"rows.jsonl:2: is no JSON"),
        ("rows.parquet", "PAR1", "cannot be read as parquet"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=told):
        own_rows.read_rows(tmp_path / name)


def test_sft_rows_end_with_the_assistant(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    good, bad = (
        lines(tmp_path / "a.jsonl", {"messages": said}),
        lines(tmp_path / "b.jsonl", {"messages": said[:1]}),
    )
    assert own_rows.load({"sft": str(good)}, {})["sft"] == [{"messages": said}]
    with pytest.raises(SpecError, match="does not end with the assistant"):
        own_rows.load({"sft": str(bad)}, {})


def xlam(**changes: Any) -> dict[str, Any]:
    answers = [{"name": "f", "arguments": {"a": 1}}, {"name": "f", "arguments": {}}]
    return {"query": "q", "answers": json.dumps(answers), "tools": json.dumps([TOOL]), **changes}


HERMES = {
    "tools": json.dumps(
        [
            {
                "type": "function",
                "function": {
                    **TOOL,
                    "parameters": {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                },
            }
        ]
    ),
    "conversations": [
        {"from": "system", "value": "You call functions."},
        {"from": "human", "value": "q"},
        {
            "from": "gpt",
            "value": "<scratch_pad>because</scratch_pad>\n"
            "<tool_call>\n{'name': 'f', 'arguments': {'a': 1}}\n</tool_call>",
        },
        {"from": "tool", "value": '<tool_response>\n{"ok": true}\n</tool_response>'},
        {"from": "gpt", "value": "Done."},
    ],
}
TOOLACE = {
    "system": f"Use tools. Here is a list: {json.dumps([{**TOOL, 'name': 'Get Price/v2'}, TOOL])} Mind the format.",
    "conversations": [
        {"from": "user", "value": "q"},
        {"from": "assistant", "value": "[Get Price/v2(a=1, b=['x'], c=True), f(a=-2)]"},
        {"from": "tool", "value": "[]"},
        {"from": "assistant", "value": "[It] costs (much)."},
    ],
}


@pytest.mark.parametrize(
    ("form", "row", "turns"),
    [
        ("xlam", xlam(), [[("f", {"a": 1}), ("f", {})]]),
        ("xlam", xlam(answers="no tool fits"), [[]]),
        ("hermes", HERMES, [[("f", {"a": 1})], []]),
        ("toolace", TOOLACE, [[("Get Price/v2", {"a": 1, "b": ["x"], "c": True}), ("f", {"a": -2})], []]),
    ],
)
def test_a_common_set_becomes_rows_whose_gold_answers_earn_the_most(
    tmp_path: Path, form: str, row: Any, turns: list[Any]
) -> None:
    found = convert(form, lines(tmp_path / "rows.jsonl", row, row, row), tmp_path / "out", val_share=0.4)
    assert (found.read, found.refused) == (3, {})
    assert found.rows == {"train": 2 * len(turns), "val": len(turns), "sft": 2 * len(turns)}
    rows = gold_rows(found.files["val"])
    for (_, gold, _), calls in zip(rows, turns, strict=True):
        block = gold.partition("<tool_call>\n")[2].partition("\n</tool_call>")[0]
        read = [json.loads(line) for line in block.split("\n") if line]
        assert [(call["name"], call["parameters"]) for call in read] == calls
    for name in ("original", "tool_n1@toolrl", "tool_call_multireward@toolrl"):
        assert check_gold(get_reward(name), [r for r in rows if "<tool_call>" in r[1]]).ok
    told = pq.read_table(found.files["val"]).to_pylist()
    assert all(each["prompt"][0]["content"].count("**Available Tools**") == 1 for each in told)
    if len(turns) > 1:
        assert (
            "<obs>" in told[1]["prompt"][1]["content"]
            and gold_rows(found.files["val"])[0][1] in told[1]["prompt"][1]["content"]
        )
    write_dataset("verl", {"files": {k: str(v) for k, v in found.files.items()}}, tmp_path / "data")


def test_what_cannot_be_converted_is_counted_by_reason_and_row(tmp_path: Path) -> None:
    rows = [
        *(
            xlam(),
            xlam(),
            xlam(answers="[{"),
            xlam(tools="[]"),
            xlam(query=" "),
            {},
            xlam(answers="[" * 9000),
        ),
        xlam(answers='[{"name": "g", "arguments": {}}]'),
        xlam(answers='[{"name": "f"}]'),
        xlam(answers="[]"),
    ]
    found = convert("xlam", lines(tmp_path / "rows.jsonl", *rows), tmp_path / "out")
    assert found.refused == {
        "the calls are no JSON": (2, 6),
        "no tools are offered": (3,),
        "the field 'query' is no text": (4, 5),
        "a tool is called that is not offered": (7,),
        "a call has no name, or no object of arguments": (8,),
        "the assistant neither calls nor says anything": (9,),
    }
    with pytest.raises(
        SpecError, match=r"0 of 10 rows can be converted: there are no conversations .*is it hermes"
    ):
        convert("hermes", tmp_path / "rows.jsonl", tmp_path / "none")
    assert not (tmp_path / "none").exists()
