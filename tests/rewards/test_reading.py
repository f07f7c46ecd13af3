"""What is read out of an assistant's turn."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings

from tests.rewards.strategies import completions, fragments
from tests.rewards.turns import GOLD, LAX, SFO, call, turn
from toolrl_cli.rewards import RewardError
from toolrl_cli.rewards.reading import (
    Reading,
    assistant_turn,
    block_problem,
    call_block,
    format_holds,
    read_calls,
    read_truth,
    think_words,
)

HEADER = "<|start_header_id|>assistant<|end_header_id|>\n\n"


@pytest.mark.parametrize(
    ("completion", "seen"),
    [
        ("  a\u2003\n", "a"),
        ("a<|im_end|>b", "a"),
        ("<|im_start|>assistant\na <|im_end|>\n<|im_start|>user", "a"),
        ("<|im_start|>assistant a<|im_start|>assistant b", "b"),
        ("<|im_start|>user a", "<|im_start|>user a"),
        ("a <|eot_id|>b", "a"),
        (f"<|begin_of_text|>{HEADER.replace('assistant', 'user')}q<|eot_id|>{HEADER}a<|eot_id|>\n", "a"),
        (f"{HEADER}a{HEADER}b<|end_of_text|>", "b<|end_of_text|>"),
        ("a<|im_end|>b<|eot_id|>", "a"),
        ("a<|eot_id|>b<|im_end|>", "a<|eot_id|>b"),
        ("", ""),
    ],
)
def test_the_turn_is_cut_at_its_marks_and_stripped(completion: str, seen: str) -> None:
    assert assistant_turn(completion) == seen


@pytest.mark.parametrize(
    ("text", "calls", "response", "holds"),
    [
        (turn("x"), True, False, True),
        (turn("x", response="r"), True, True, True),
        (turn(response="r"), False, True, True),
        (turn(), False, False, True),
        ("<think> a </think> b </think>\n<tool_call>\nx\n</tool_call>", True, False, True),
        (turn("x", think=None), True, False, False),
        ("<think>a</think>\n\n<tool_call>\nx\n</tool_call>", True, False, False),
        ("<think>a</think>\n<tool_call>x\n</tool_call>", True, False, False),
        ("<think>a</think>\n<tool_call>\n</tool_call>", True, False, False),
        ("<think>a</think>\n<tool_call>\n\n</tool_call>", True, False, True),
        (turn("x") + "\n" + "<tool_call>\ny\n</tool_call>", True, False, False),
        (turn("x", "</tool_call>"), True, False, False),
        (turn("x") + " more", True, False, False),
        (turn("x", response="r"), True, False, False),
        (turn("x", response="r"), False, True, False),
        (turn("x"), True, True, False),
        (turn("x") + "\n<response></response>", True, True, True),
        (turn("x") + "\n<response>r", True, True, False),
        (turn("x") + "\n<response>r</response></response>", True, True, False),
        (turn("x") + "\n<response><response>r</response>", True, True, False),
        ("<think>a</think>\n<response></response>", False, True, True),
        ("<think>a</think>\n<response>", False, True, False),
        ("<think>a</think>", False, True, False),
        ("<think>a", False, False, False),
    ],
)
def test_the_format_holds_for_the_wanted_fields_once_each_in_order(
    text: str, calls: bool, response: bool, holds: bool
) -> None:
    assert format_holds(text, calls, response) is holds


PATTERNS = {
    (False, False): r"<think>.*?</think>",
    (False, True): r"<think>.*?</think>\n<response>.*?</response>",
    (True, False): r"<think>.*?</think>\n<tool_call>\n.*?\n</tool_call>",
    (True, True): r"<think>.*?</think>\n<tool_call>\n.*?\n</tool_call>\n<response>.*?</response>",
}


@settings(deadline=None, max_examples=150)
@given(text=completions)
def test_the_format_is_what_the_patterns_of_the_paper_s_prompt_say(text: str) -> None:
    turn_text = assistant_turn(text)
    for (calls, response), pattern in PATTERNS.items():
        tags = [tag for tag, wanted in (("tool_call", calls), ("response", response)) if wanted]
        once = all(turn_text.count(f"<{tag}>") == turn_text.count(f"</{tag}>") == 1 for tag in tags)
        matches = re.fullmatch(pattern, turn_text, re.DOTALL) is not None
        assert format_holds(turn_text, calls, response) is (once and matches)


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("<tool_call>a</tool_call>", "a"),
        ("x<tool_call>a</tool_call><tool_call>b</tool_call>", "a"),
        ("<tool_call>a<tool_call>b</tool_call>", "a"),
        ("</tool_call><tool_call>a", "a"),
        ("<tool_call>a", None),
        ("a</tool_call>", None),
        ("", None),
    ],
)
def test_the_first_block_counts_and_ends_at_the_next_tag(text: str, block: str | None) -> None:
    assert call_block(text) == block


@settings(deadline=None)
@given(parts=fragments)
def test_a_line_is_json_exactly_where_the_standard_library_says_so(parts: str) -> None:
    for text in (parts, f" {parts}\r", f"[{parts}]", f"{parts} {parts}"):
        lines = text.strip().split("\n")

        def standard(lines: list[str] = lines) -> list[Any] | None:
            try:
                return [json.loads(line) for line in lines]
            except ValueError:
                return None

        def ours(text: str = text) -> list[Any] | None:
            try:
                return read_calls(text)
            except ValueError:
                return None

        assert repr(ours()) == repr(standard())


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 100_000 + "]", "", "{}\n\n{}", "\ufeff{}", "{} {}"])
def test_unreadable_calls_are_none_and_never_an_error(text: str) -> None:
    reading = Reading(turn(text), GOLD)
    assert reading.calls is None
    assert reading.calls is None  # asked again: from memory
    assert reading.fresh_calls() is None
    assert reading.tries_call


def test_the_problem_with_a_block_names_its_first_bad_line() -> None:
    assert block_problem(f"{SFO}\n{{bad\n[") == (
        "line 2 is not JSON: '{bad': "
        "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    )
    assert block_problem("[" * 100_000).endswith("nested too deep")
    assert block_problem(SFO) == ""


def test_fresh_calls_can_be_changed_without_reaching_the_reading() -> None:
    reading = Reading(GOLD, GOLD)
    fresh = reading.fresh_calls()
    assert fresh is not None
    fresh[0]["parameters"].clear()
    assert reading.calls == [json.loads(SFO), json.loads(LAX)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<think> a b\u2003c </think>", 3),
        ("<think>a b</think><think>c</think>", 1),
        ("<think></think>", 0),
        ("</think> a <think> b c", 2),
        ("<think> a", None),
        ("a </think>", None),
    ],
)
def test_words_are_counted_in_the_last_think_block(text: str, words: int | None) -> None:
    assert think_words(text) == words


def test_a_ground_truth_is_read_once() -> None:
    assert read_truth(GOLD) is read_truth(str(GOLD))


def test_a_ground_truth_without_a_closing_tag_is_read() -> None:
    assert read_truth(f"<tool_call>\n{SFO}").calls == [json.loads(SFO)]


@pytest.mark.parametrize("block", ["", "{bad", f"{SFO}\n\n{LAX}"])
def test_a_ground_truth_whose_calls_are_no_json_is_refused_with_its_text(block: str) -> None:
    with pytest.raises(RewardError, match=r"^ground truth: its tool calls are not one JSON value") as fault:
        read_truth(turn(block))
    assert fault.value.ground_truth == turn(block)


@pytest.mark.parametrize(
    "line", ["3", '{"parameters": {}}', '{"name": "f"}', '{"name": "f", "parameters": 3}']
)
def test_a_misshapen_ground_truth_has_no_terms(line: str) -> None:
    assert read_truth(turn(line)).full_terms is None


def test_terms_count_one_for_the_names_and_for_each_call_and_parameter() -> None:
    assert read_truth(turn(call("f", a=1, b=2), call("g"))).full_terms == 5
