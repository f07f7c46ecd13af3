"""The parts of BFCL that need no evaluator: prompts, the reading of calls, columns, and what confines them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from toolrl_cli.benchmarks.bfcl import columns, session
from toolrl_cli.benchmarks.bfcl.evaluator import reading
from toolrl_cli.benchmarks.bfcl.prompts import AFTER_RESULTS, ONE_TURN, SEVERAL_TURNS, rlla_messages
from toolrl_cli.benchmarks.bfcl.session import Conversations, EvaluatorEnded
from toolrl_cli.benchmarks.catalogue.bfcl import BENCHMARK
from toolrl_cli.spec.run.evaluation_settings import EvaluateSpec
from toolrl_cli.store.scores import read_scores, write_scores


def test_a_limit_that_dialogues_outgrow_is_told_when_planned() -> None:
    told = BENCHMARK.configured(EvaluateSpec()).lacking()
    assert "max_prompt_length=4096" in told and "--set evaluation.max_prompt_length=28672" in told
    assert BENCHMARK.configured(EvaluateSpec(max_prompt_length=28672)).lacking() == "" == BENCHMARK.lacking()


TOOL = {
    "name": "ls",
    "description": "Lists.",
    "parameters": {"type": "dict", "properties": {"a": {"type": "boolean"}}},
}


def anything(name: str) -> bool:
    return True


def test_toolrl_s_prompt_is_one_system_message_and_one_with_all_that_was_said() -> None:
    said = [
        {"role": "system", "content": "left out"},
        {"role": "user", "content": " Look. "},
        {"role": "assistant", "content": "<think> a </think>\n"},
        {"role": "tool", "name": "ls(a=True)", "content": "x"},
    ]
    system, user = rlla_messages(said, [TOOL, TOOL], several_turns=True)
    assert system["content"].startswith("You are a helpful multi-turn dialogue assistant")
    listed = '1. Name: ls\nDescription: Lists.\nParameters: {"a": {"type": "boolean"}}\n2. Name: ls\n'
    assert f"the following tools:\n{listed}" in system["content"]
    assert system["content"].endswith("`<obs>` (if exists).\n")
    assert user["content"] == (
        f"**Dialogue Records History**\n<user> Look.\n{SEVERAL_TURNS} </user>\n\n<think> a </think>\n"
        f"<obs> You have made the tool call ls(a=True). Execution returns: x </obs>\n\n<user> {AFTER_RESULTS} </user>"
    )
    (_, single) = rlla_messages(said[:2], [], several_turns=False)
    assert single["content"] == f"**Dialogue Records History**\n<user> Look.\n{ONE_TURN} </user>"


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("words", []),
        ('<tool_call>{"name": "a", "parameters": {"x": 1}}', [{"a": {"x": 1}}]),
        (
            '<tool_call>\n{"name": "a", "parameters": {}}\nnot JSON\n[1]\n{"name": "b"}\n</tool_call>',
            [{"a": {}}],
        ),
        (
            '<tool_call>\n{"name": " None ", "parameters": {}}\n{"name": 3, "parameters": {}}\n</tool_call>',
            [],
        ),
        (
            '<tool_call>\n{"name": "a", "parameters": {}}</tool_call><tool_call>\n{"name": "b", "parameters": 1}',
            [{"b": 1}],
        ),
        ("<tool_call>\n" + "[" * 100_000, []),
    ],
)
def test_calls_of_toolrl_s_format_are_those_of_the_last_block(text: str, calls: list[Any]) -> None:
    assert reading.rlla_ast(text) == calls


@pytest.mark.parametrize(
    "text",
    [
        '<think> {"name": "no"} </think><tool_call>\n{"name": "a", "arguments": {"x": 1}}\n</tool_call>',
        '<tool_call>{"name": "a", "arguments": "{\\"x\\": 1}"}</tool_call>',
        '<|python_tag|>{"name": "a", "parameters": {"x": 1}}<|eom_id|>',
        '{"type": "function", "function": {"name": "a", "parameters": {"x": 1}}}',
        '[TOOL_CALLS] [{"name": "a", "arguments": {"x": 1}}]',
    ],
)
def test_calls_of_models_own_templates_are_read(text: str) -> None:
    assert reading.native_ast(text) == [{"a": {"x": 1}}]


def test_several_native_calls_are_read_in_either_form() -> None:
    one = '{"name": "a", "parameters": {}}'
    assert len(reading.native_ast(f"{one}; {one}")) == len(reading.native_ast(f"[{one}, {one}]")) == 2
    assert len(reading.native_ast(f"<tool_call>{one}\n{one}</tool_call>\n<tool_call>{one}</tool_call>")) == 3
    assert reading.native_ast(f"I call {one}") == reading.native_ast("[") == reading.native_ast("3") == []


REACHABLE = ("open", "inspect", "model_name", "__import__")


@pytest.mark.parametrize("name", ["ls", " ls ", "GorillaFileSystem.ls", "unknown"])
def test_a_tool_and_a_name_that_leads_nowhere_are_left_to_the_simulator(name: str) -> None:
    executable = reading.executable_names({"ls"}, REACHABLE)
    assert reading.source(name, {"a": "b(c)", "d": None}, executable) == f"{name}(a='b(c)', d=None)"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("open", {}),
        ("inspect.os.system", {}),
        ("__import__('os').system", {}),
        ("a b", {}),
        ("ls()", {}),
        ("", {}),
        ("ls", {"a=open('x', 'w'), b": 1}),
        ("ls", {"": 1}),
    ],
)
def test_what_reaches_beyond_the_simulators_is_never_source(name: str, parameters: dict[str, Any]) -> None:
    assert reading.source(name, parameters, reading.executable_names({"ls"}, REACHABLE)) == reading.REFUSED


@pytest.mark.parametrize("text", ['{"name": "a", "parameters": [1]}', '{"name": 3, "parameters": {}}'])
def test_calls_of_another_type_end_a_turn(text: str) -> None:
    with pytest.raises(ValueError, match="is no text" if "3" in text else "are no object"):
        reading.rlla_sources(f"<tool_call>\n{text}", anything)


def counts(**changes: tuple[int, int]) -> dict[str, tuple[int, int]]:
    return dict.fromkeys(columns.CATEGORIES, (1, 2)) | changes


def test_columns_are_computed_as_upstream_computes_them() -> None:
    found = columns.columns(
        counts(
            simple=(400, 400),
            java=(0, 100),
            live_multiple=(90, 94),
            live_irrelevance=(3, 4),
            multi_turn_base=(0, 9),
        ),
        {},
    )
    assert found["non_live_ast"].value == (1.5 / 3 + 0.5 * 3) / 4 and found["non_live_ast"].correct is None
    live = found["live"]
    assert (live.correct, live.total) == (97, 106) and live.value == 97 / 106
    assert found["multi_turn"].value == 0.375 and found["relevance"].value == 0.5
    assert found["irrelevance"].value == 0.625 and found["non_live_irrelevance"].value == 0.5
    assert found["overall"].value == pytest.approx((0.5 + 97 / 106 + 0.375) / 3)
    assert found["non_live_exec"].value is None and "exec" in found["non_live_exec"].why


def test_columns_of_v4_leave_the_agentic_categories_out_by_name() -> None:
    asked = dict.fromkeys(columns.CATEGORIES_V4, (1, 2)) | {
        "live_multiple": (3, 4),
        "multi_turn_base": (2, 2),
    }
    found = columns.columns_v4(asked, {})
    live, irrelevance, multi_turn = found["live"].value, found["irrelevance"].value, found["multi_turn"].value
    assert (live, irrelevance, multi_turn, found["non_live"].value) == (0.6, 0.5, 0.625, 0.5)
    assert found["overall_without_agentic"].value == pytest.approx((0.5 + 0.6 + 0.5 + 3 * 0.625) / 6)
    assert found["overall"].value is None and "agentic" in found["overall"].why


def test_a_category_that_was_not_asked_is_no_zero() -> None:
    found = columns.columns({name: pair for name, pair in counts().items() if name != "java"}, {})
    assert {name for name, metric in found.items() if metric.value is None} == {
        *("overall", "non_live_ast", "non_live_exec", "java")
    }
    assert found["overall"].why == "no item of java was asked"


def test_an_item_without_a_verdict_takes_the_value_of_all_that_it_counts_for() -> None:
    found = columns.columns(counts(), {"live_relevance": 1})
    assert {name for name, metric in found.items() if metric.value is None} == {
        *("overall", "non_live_exec", "live", "relevance", "live_relevance")
    }
    assert found["live"].why == "1 of 2 items of live_relevance could not be run"


def test_columns_are_read_as_they_are_written(tmp_path: Path) -> None:
    asked = counts() | dict.fromkeys(columns.CATEGORIES_V4, (1, 2))
    for found in (columns.columns(asked, {}), columns.columns_v4(asked, {}), columns.columns({}, {})):
        write_scores(tmp_path, {"metrics": {name: metric.to_json() for name, metric in found.items()}}, ())
        scores = read_scores(tmp_path / "scores.json", "")
        assert not scores.problem and not [name for name, score in scores.metrics.items() if score.fault]


CONFINED = """
import os, sys
from toolrl_cli.benchmarks.bfcl.evaluator import confinement
from toolrl_cli.benchmarks.bfcl.evaluator.children import Child
confinement.CPU_SECONDS, confinement.EXTRA_BYTES = 0.2, 1 << 26
def tried(deed):
    def work():
        yield "begun"
        try:
            yield repr(deed())
        except (PermissionError, MemoryError, OSError) as error:
            yield type(error).__name__
    child = Child(work)
    print(*child.lines(20.0))
    child.end()
def endless():
    while True: pass
import socket, subprocess
os.environ.pop("NOWHERE", None)
for deed in (
    lambda: 1 + 1, lambda: open(sys.argv[1], "w"), lambda: os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY),
    lambda: os.system("touch " + sys.argv[1]), lambda: subprocess.run(["touch", sys.argv[1]]), os.fork,
    lambda: socket.socket(), lambda: __import__("antigravity"), lambda: [0] * 10**9, endless,
    lambda: os.kill(os.getppid(), 9),
): tried(deed)
"""


def test_whatever_gets_through_can_do_nothing_and_is_ended(tmp_path: Any) -> None:
    mark = tmp_path / "hacked"
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, mark], capture_output=True, text=True, check=True, timeout=60
    )
    refused = ["begun PermissionError"] * 7
    assert done.stdout.splitlines() == [
        *("begun 2", *refused, "begun MemoryError", "begun", "begun PermissionError")
    ]
    assert not mark.exists()


def test_of_an_evaluator_that_ended_its_last_words_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> subprocess.Popen[str]:
        (tmp_path / "evaluator.log").write_text("Killed\n")
        pipe = subprocess.PIPE
        return subprocess.Popen([sys.executable, "-c", ""], stdin=pipe, stdout=pipe, text=True)

    monkeypatch.setattr(session, "start", start)
    talks = Conversations(tmp_path, tmp_path, "rlla")
    with pytest.raises(EvaluatorEnded, match="Killed"):
        next(talks.lead("a"))
    talks.close()
