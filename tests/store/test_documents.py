from __future__ import annotations

from pathlib import Path

import pytest

from toolrl_cli.store.documents import number, read_document
from toolrl_cli.store.jsonl import read_jsonl


def test_a_missing_file_is_not_a_fault(tmp_path: Path) -> None:
    assert read_document(tmp_path / "no") == (None, None)
    assert list(read_jsonl(tmp_path / "no")) == []


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"id": "a"}\n\n3\n{"id": "b"}\n{"id": "c", "corr')
    assert [row["id"] for row in read_jsonl(path)] == ["a", "b"]


def test_bytes_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(b'\xff\xfe\x00\n{"id": "b"}\n')
    assert [row["id"] for row in read_jsonl(path)] == ["b"]


def test_json_nested_beyond_reason_is_a_fault_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("[" * 100_000)
    content, fault = read_document(path)
    assert content is None
    assert fault is not None and "state.json" in fault


def test_a_folder_in_the_place_of_a_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "state.json").mkdir()
    assert read_document(tmp_path / "state.json")[1] is not None


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), float("inf"), [1]])
def test_only_finite_numbers_are_numbers(value: object) -> None:
    assert number(value) is None


def test_whole_numbers_become_floats() -> None:
    assert number(3) == 3.0


def test_half_a_surrogate_that_no_file_can_hold_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a\\ud800": ["b\\uDFFF", 1]}')
    assert read_document(path) == ({"a?": ["b?", 1]}, None)
    assert list(read_jsonl(path)) == [{"a?": ["b?", 1]}]
