"""The released rlla data: its format, its loading and its download."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toolrl_cli.datasets import rlla, rlla_format
from toolrl_cli.errors import SpecError

REAL = Path(__file__).parents[3] / "shared" / "data" / "toolrl"
SYSTEM = rlla_format.system_prompt(
    [rlla_format.Tool("Get News", "Retrieve news.", (rlla_format.Parameter("page", "The page.", "int"),))]
)
ANSWER = '<think> t </think>\n<tool_call>\n{"name": "Get News", "parameters": {"page": "1"}}\n</tool_call>'


def rl_row(number: int) -> dict[str, object]:
    user = rlla_format.history([rlla_format.user_turn(f"Page {number}?")])
    return {
        "data_source": "rlla",
        "prompt": [{"content": SYSTEM, "role": "system"}, {"content": user, "role": "user"}],
        "ability": "math",
        "reward_model": {"ground_truth": ANSWER, "style": "rule"},
        "extra_info": {"index": number, "split": "test"},
    }


def triple(number: int) -> dict[str, str]:
    user = rlla_format.history([rlla_format.user_turn(f"Page {number}?")])
    return {"instruction": SYSTEM, "input": user, "output": ANSWER}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rlla_sft.json").write_text(json.dumps([triple(n) for n in range(5)]), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist([rl_row(n) for n in range(3)]), tmp_path / "rlla_4k_test.parquet")
    return tmp_path


def test_rows_come_out_as_verl_reads_them(folder: Path) -> None:
    splits, _ = rlla.load(folder)
    assert [m["role"] for m in splits["sft"][0]["messages"]] == ["system", "user", "assistant"]
    row = splits["val"][2]
    assert row["prompt"][1]["content"].endswith("<user> Page 2? </user>")
    assert row["reward_model"] == {"style": "rule", "ground_truth": ANSWER}
    assert row["extra_info"]["index"] == 2 and row["data_source"] == "rlla"


def test_without_training_rows_the_held_out_ones_serve_and_a_note_says_so(folder: Path) -> None:
    splits, notes = rlla.load(folder)
    assert len(splits["train"]) == len(splits["val"]) == 3
    assert notes == (rlla.NOTE_SAME_ROWS,)
    assert rlla.most_train_rows(folder) == (3, notes)


def test_training_rows_are_taken_where_they_are(folder: Path) -> None:
    pq.write_table(pa.Table.from_pylist([rl_row(n) for n in range(10, 17)]), folder / "train.parquet")
    splits, notes = rlla.load(folder)
    assert (len(splits["train"]), len(splits["val"]), notes) == (7, 3, ())


def test_training_rows_from_json_leave_out_the_held_out_prompts(folder: Path) -> None:
    rows = [triple(n) for n in range(9)] + [{**triple(1), "output": "another answer"}]
    (folder / "rlla_rl.json").write_text(json.dumps(rows), encoding="utf-8")
    splits, _ = rlla.load(folder)
    users = [row["prompt"][1]["content"] for row in splits["train"]]
    assert users == [triple(number)["input"] for number in range(3, 9)]


def test_limits_take_rows_from_the_start(folder: Path) -> None:
    splits, _ = rlla.load(folder, {"sft": 2, "val": 1})
    assert [len(splits[split]) for split in rlla.SPLITS] == [2, 3, 1]


def test_the_fingerprint_follows_the_content_and_the_limits_and_not_the_place(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("elsewhere")
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert rlla.fingerprint(copy) == rlla.fingerprint(folder) != rlla.fingerprint(folder, {"sft": 1})
    (copy / "rlla_sft.json").write_text(json.dumps([triple(9)]), encoding="utf-8")
    assert rlla.fingerprint(copy) != rlla.fingerprint(folder)
    own, other = copy / "own.json", copy / "other.json"
    own.write_text(json.dumps([triple(1)]), encoding="utf-8")
    other.write_text(json.dumps([triple(2)]), encoding="utf-8")
    of = {rlla.fingerprint(folder, None, file) for file in (None, own, other)}
    assert len(of) == 3


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"data\.path: .*nowhere' is not a folder"):
        rlla.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["rlla_sft.json", "rlla_4k_test.parquet"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(SpecError, match=re.escape(f"no {name}")):
        rlla.fingerprint(folder)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "cannot be read as JSON"),
        ("{}", "not a non-empty JSON list"),
        ("[]", "not a non-empty JSON list"),
        ('[{"instruction": "a", "input": 3, "output": "b"}]', "row 0 lacks a text field"),
        ('["text"]', "row 0 lacks a text field"),
    ],
)
def test_sft_rows_that_are_not_rows_are_told(folder: Path, content: str, says: str) -> None:
    (folder / "rlla_sft.json").write_text(content, encoding="utf-8")
    with pytest.raises(SpecError, match=says):
        rlla.load(folder)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"question": "x"}], "has no column prompt and no column reward_model"),
        (
            [{"prompt": [{"role": "user", "content": "x"}], "reward_model": {"ground_truth": "y"}}],
            "row 0 is not",
        ),
        ([{**rl_row(0), "reward_model": {"style": "rule"}}], "row 0 is not an rlla row"),
        ([{**rl_row(0), "reward_model": {"ground_truth": None}}], "row 0 is not an rlla row"),
        ([{**rl_row(0), "prompt": None}], "row 0 is not an rlla row"),
    ],
)
def test_rl_rows_that_are_not_rows_are_told(folder: Path, rows: list[dict[str, object]], says: str) -> None:
    pq.write_table(pa.Table.from_pylist(rows), folder / "rlla_4k_test.parquet")
    with pytest.raises(SpecError, match=says):
        rlla.load(folder)


def test_a_file_that_is_not_parquet_is_told(folder: Path) -> None:
    (folder / "rlla_4k_test.parquet").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(SpecError, match="cannot be read as parquet"):
        rlla.load(folder)


def test_a_parquet_file_without_rows_is_told(folder: Path) -> None:
    empty = pa.Table.from_pylist([rl_row(0)]).slice(0, 0)
    pq.write_table(empty, folder / "rlla_4k_test.parquet")
    with pytest.raises(SpecError, match="has no rows"):
        rlla.load(folder)


def prompts(folder: Path) -> list[str]:
    splits, _ = rlla.load(folder)
    return [row["prompt"][0]["content"] for row in splits["val"]]


def test_system_prompts_are_written_to_the_letter_as_the_released_ones(folder: Path) -> None:
    pattern = re.compile(r"\n\d+\. Name: (.*)\nDescription: (.*)\nParameters: (.*)")
    for prompt in prompts(REAL if REAL.is_dir() else folder):
        body = prompt.removeprefix(rlla_format.SYSTEM_HEAD).removesuffix(rlla_format.SYSTEM_TAIL)
        tools = [
            rlla_format.Tool(
                name,
                description,
                tuple(
                    rlla_format.Parameter(key, spec["description"], spec["type"], spec["default"])
                    for key, spec in json.loads(schema).items()
                ),
            )
            for name, description, schema in pattern.findall(body)
        ]
        assert rlla_format.system_prompt(tools) == prompt


def test_a_file_that_begins_with_a_bom_and_has_the_line_ends_of_windows_is_read(folder: Path) -> None:
    text = json.dumps([triple(n) for n in range(2)], indent=1).replace("\n", "\r\n")
    (folder / "rlla_sft.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    splits, _ = rlla.load(folder)
    assert splits["sft"][1]["messages"][2]["content"] == ANSWER


def test_half_a_character_is_named_by_file_and_row(folder: Path) -> None:
    rows = [triple(0), {**triple(1), "input": "an emoji, cut in two: \ud83d"}]
    (folder / "rlla_sft.json").write_text(json.dumps(rows))
    with pytest.raises(SpecError, match=r"rlla_sft\.json: row 1 holds half a character \('.ud83d'"):
        rlla.load(folder)


def test_text_of_a_parquet_row_that_is_not_utf8_is_named_by_file_and_row(folder: Path) -> None:
    rows = pa.Table.from_pylist([rl_row(0), {**rl_row(1), "data_source": "\u00e4\u00e4"}])
    broken = rows.column("data_source").combine_chunks().cast(pa.binary()).to_pylist()
    broken[1] = b"\xff\xfe"
    column = pa.Array.from_buffers(pa.string(), 2, pa.array(broken, pa.binary()).buffers())
    pq.write_table(rows.set_column(0, "data_source", column), folder / "rlla_4k_test.parquet")
    with pytest.raises(SpecError, match=r"test\.parquet: row 1 is not UTF-8: invalid start byte at byte 0"):
        rlla.load(folder)


def test_json_that_nests_too_deep_is_told(folder: Path) -> None:
    (folder / "rlla_sft.json").write_text("[" * 100_000)
    with pytest.raises(SpecError, match="cannot be read as JSON"):
        rlla.load(folder)
