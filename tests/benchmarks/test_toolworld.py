"""Scoring of ToolWorld's benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from toolrl_cli.benchmarks.catalogue.toolworld import BENCHMARK, ToolWorld, item_of
from toolrl_cli.benchmarks.scoring import score
from toolrl_cli.datasets import toolworld
from toolrl_cli.errors import BenchmarkError
from toolrl_cli.spec.evaluations.benchmarks import NotRun, Reply

EXAMPLES = toolworld.generate("benchmark", 0, 40)


def score_items(
    examples: Sequence[toolworld.Example], outputs: Sequence[str | None]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    replies = [NotRun() if output is None else Reply(output) for output in outputs]
    return score(BENCHMARK, [item_of(example) for example in examples], replies)


def reason(example: toolworld.Example, output: str | None) -> str:
    _, (item,) = score_items([example], [output])
    return str(item["reason"])


def first(category: str) -> toolworld.Example:
    return next(e for e in EXAMPLES if e.category == category)


def test_gold_answers_score_all_points_in_every_column() -> None:
    scores, items = score_items(EXAMPLES, [e.answer for e in EXAMPLES])
    assert {name: m["value"] for name, m in scores["metrics"].items()} == dict.fromkeys(
        ("seen_tools", "unseen_tools", "parallel", "irrelevance", "overall"), 1.0
    )
    assert all(item["reason"] == "" for item in items)


def test_empty_answers_score_nothing() -> None:
    scores, _ = score_items(EXAMPLES, [""] * len(EXAMPLES))
    assert {m["value"] for m in scores["metrics"].values()} == {0.0}


def test_the_order_of_parallel_calls_does_not_count() -> None:
    example = first("parallel")
    head, _, rest = example.answer.partition("<tool_call>\n")
    lines = rest.removesuffix("\n</tool_call>").split("\n")
    swapped = head + "<tool_call>\n" + "\n".join(reversed(lines)) + "\n</tool_call>"
    assert swapped != example.answer
    assert reason(example, swapped) == ""


def test_a_verdict_says_what_is_wrong() -> None:
    call, quiet = first("seen_tools"), first("irrelevance")
    assert reason(quiet, call.answer) == "called a tool where none fits"
    assert reason(quiet, "<think> x </think>") == "no response"
    assert reason(call, quiet.answer) == "called nothing"
    assert reason(call, first("parallel").answer) == "2 calls instead of 1"
    gold = '<tool_call>\n{"name": "f", "parameters": {"x": "1"}}\n</tool_call>'
    assert reason(replace(call, answer=gold), gold.replace('"f"', '"g"')) == "wrong tool"
    assert "wrong parameters" in reason(replace(call, answer=gold), gold.replace('"1"', '"2"'))
    assert "not JSON" in reason(call, "<tool_call>\nx\n</tool_call>")


def test_a_rule_that_a_verdict_leaves_out_is_named_with_its_benchmark() -> None:
    class Lenient(ToolWorld):
        also = ("lenient",)

    example = EXAMPLES[0]
    with pytest.raises(BenchmarkError, match="benchmark toolworld: a verdict leaves out the rule 'lenient'"):
        score(Lenient(), [item_of(example)], [Reply(example.answer)])


@pytest.mark.parametrize("column", ["overall", "parallel"])
def test_an_item_that_could_not_be_run_has_no_verdict_and_its_metrics_no_value(column: str) -> None:
    outputs = [None if e is first("parallel") else e.answer for e in EXAMPLES]
    scores, items = score_items(EXAMPLES, outputs)
    assert scores["metrics"][column]["value"] is None
    assert "could not be run" in scores["metrics"][column]["why"]
    assert scores["metrics"]["seen_tools"]["value"] == 1.0
    assert [i["correct"] for i in items].count(None) == 1
