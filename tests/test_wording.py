"""Pieces of messages."""

from __future__ import annotations

import pytest

from toolrl_cli.wording import counted, cut, first_line, listed


def test_a_count_has_its_noun_in_singular_or_plural() -> None:
    told = [counted(0, "stage"), counted(1, "stage"), counted(2, "harness"), counted(1000, "cell", ",")]
    assert told == ["0 stages", "1 stage", "2 harnesses", "1,000 cells"]


def test_what_is_left_out_of_a_list_is_an_ellipsis() -> None:
    assert [listed([1, 2], 2), listed("abc", 2, "; ")] == ["1, 2", "a; b; …"]


def test_a_text_is_cut_to_its_limit_and_no_further() -> None:
    assert [cut("four", 4), cut("fives", 4)] == ["four", "fiv…"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ImportError(), "ImportError"),
        (ValueError(" \n"), "ValueError"),
        (OSError("\nno space \nleft"), "no space"),
        (KeyError("a"), "'a'"),
    ],
)
def test_an_error_has_one_line_also_where_it_says_nothing(error: Exception, line: str) -> None:
    assert first_line(error) == line
