"""Reading a model's turn, and whether it is an exact match: `rescore` and ToolWorld ask the same function."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolrl_cli.benchmarks.catalogue.toolworld import BENCHMARK
from toolrl_cli.rewards import get_reward
from toolrl_cli.rewards.exact_match import exact_match, mismatch, parse_turn
from toolrl_cli.rewards.explain import explain
from toolrl_cli.spec.evaluations.benchmarks import Item, Reply

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


def turn_of(*parameters: str) -> str:
    lines = "\n".join(f'{{"name": "f", "parameters": {each}}}' for each in parameters)
    return f"<think>t</think>\n<tool_call>\n{lines}\n</tool_call>"


@pytest.mark.parametrize(
    ("wanted", "given_", "equal"),
    [
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', True),
        ('{"a": 1}', '{"a": 1.0}', True),
        ('{"a": [1, {"b": 1e0}]}', '{"a": [1.0, {"b": 1}]}', True),
        ('{"a": 1}', '{"a": true}', False),
        ('{"a": [{"b": 0}]}', '{"a": [{"b": false}]}', False),
        ('{"a": 1}', '{"a": "1"}', False),
        ('{"a": [1, 2]}', '{"a": [2, 1]}', False),
        ('{"a": null}', "{}", False),
        ('{"a": "\\ud800"}', '{"a": "\\ud800"}', True),
    ],
)
def test_values_are_equal_in_one_way_for_rescore_the_benchmark_and_the_papers_rewards(
    wanted: str, given_: str, equal: bool
) -> None:
    gold, completion = turn_of(wanted), turn_of(given_)
    assert exact_match(completion, gold) is equal
    item = Item("1", "overall", ({"role": "user", "content": "u"},), gold)
    assert BENCHMARK.judge(item, Reply(completion)).correct is equal
    for name in ("coarse@paper", "intermediate@paper", "original@paper"):
        assert (get_reward(name).score(completion, gold, 1, 10).parts["correctness"].raw == 3) is equal


def test_the_released_rewards_hold_true_for_one_as_the_released_code_does() -> None:
    gold, completion = turn_of('{"a": 1}'), turn_of('{"a": true}')
    assert get_reward("original").score(completion, gold).parts["correctness"].raw == 3
    assert explain(get_reward("original"), completion, gold).parts[1].alignment[0].values[0].equal
    assert not explain(get_reward("original@paper"), completion, gold).parts[1].alignment[0].values[0].equal


@pytest.mark.parametrize(
    ("completion", "why"),
    [
        ("<think>t</think>\n<response>b</response>", ""),
        ("<think>t</think>", "no response"),
        ("<response> </response>", "no response"),
        ("<response>b</response><tool_call>", "called a tool where none fits"),
    ],
)
def test_where_no_call_is_wanted_a_response_without_a_call_is_the_match(completion: str, why: str) -> None:
    gold = "<think>t</think>\n<response>a</response>"
    assert mismatch(parse_turn(gold), parse_turn(completion)) == why
    assert exact_match(completion, gold) is not bool(why)


def test_where_neither_is_wanted_silence_is_the_match() -> None:
    assert exact_match("<think>a</think>", "<think>t</think>")


def test_a_gold_answer_that_cannot_be_read_is_matched_by_nothing() -> None:
    gold = turn_of("1")
    assert "the gold answer cannot be read" in mismatch(parse_turn(gold), parse_turn(gold))
    assert not exact_match(gold, gold)
