"""Reading a model's turn."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolrl_cli.benchmarks.parsing import canonical, parse_turn

TAGS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<response>", "</response>", "\n"]


def test_a_whole_turn_is_read() -> None:
    calls = '{"name": "f", "parameters": {"x": 1}}\n{"name": "g", "parameters": {}}'
    text = f"<think> a </think>\n<tool_call>\n{calls}\n</tool_call>"
    turn = parse_turn(text)
    assert turn.think == "a"
    assert turn.calls == ({"name": "f", "parameters": {"x": 1}}, {"name": "g", "parameters": {}})
    assert turn.response is None and turn.problem == ""


def test_the_last_field_counts() -> None:
    first = '<tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>'
    assert parse_turn(first + first.replace('"f"', '"g"')).calls[0]["name"] == "g"


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("<tool_call>\nnot json\n</tool_call>", "not JSON"),
        ("<tool_call>\n\n</tool_call>", "is empty"),
        ('<tool_call>\n{"parameters": {}}\n</tool_call>', "has no name"),
        ('<tool_call>\n{"name": "f"}\n</tool_call>', "has no parameters"),
        ('<tool_call>\n{"name": "f", "parameters": [1]}\n</tool_call>', "has no parameters"),
        ("<tool_call>\n[1]\n</tool_call>", "has no name"),
        ("<tool_call>\n{", "not closed"),
        ("<tool_call>\n" + "[" * 50_000 + "\n</tool_call>", "not JSON"),
        ("<tool_call>\n" + "9" * 50_000 + "\n</tool_call>", "not JSON"),
    ],
)
def test_calls_that_cannot_be_read_are_told_and_count_as_called(block: str, says: str) -> None:
    turn = parse_turn(block)
    assert turn.called and turn.calls == () and says in turn.problem


@given(st.lists(st.one_of(st.sampled_from(TAGS), st.text(max_size=8)), max_size=30).map("".join))
def test_no_text_makes_it_raise(text: str) -> None:
    turn = parse_turn(text)
    assert turn.called == ("<tool_call>" in text)


def test_a_hostile_turn_is_read_in_no_time() -> None:
    began = time.process_time()
    parse_turn("<tool_call>" * 100_000 + "</tool_call>" * 100_000)
    assert time.process_time() - began < 5  # linear work takes milliseconds, quadratic work minutes


def test_equal_calls_are_equal_whatever_the_order_of_parameters() -> None:
    assert canonical({"name": "f", "parameters": {"a": 1, "b": 2}}) == canonical(
        {"name": "f", "parameters": {"b": 2, "a": 1}}
    )
