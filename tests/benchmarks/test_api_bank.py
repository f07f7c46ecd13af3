"""API-Bank, scored by the released rule and strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toolrl_cli.benchmarks.catalogue.api_bank import BENCHMARK
from toolrl_cli.benchmarks.scoring import score
from toolrl_cli.datasets import released
from toolrl_cli.spec.evaluations.benchmarks import Item, NotRun, Reply

GOLD = {"name": "Book", "parameters": {"city": "Rome", "nights": 2}}
DATA = Path(__file__).parents[2].parent / "shared/data/api_bank"


def call(name: str = "Book", **parameters: Any) -> str:
    return json.dumps({"name": name, "parameters": parameters or GOLD["parameters"]})


def turn(*lines: str) -> str:
    return "<think> x </think>\n<tool_call>\n" + "\n".join(lines) + "\n</tool_call>"


@pytest.mark.parametrize(
    ("output", "released_rule", "strict"),
    [
        (turn(call()), True, True),
        (turn(call("Other"), call()), True, False),
        (turn(call(city="Oslo")), False, False),
        (turn(call(city="Rome", nights=2.0)), True, True),
        (turn(call(city="Rome", nights="2")), False, False),
        (turn(call()) + turn(call("Other")), False, False),  # the last block counts
        (call(), True, True),  # no tag: the whole turn is read
        (turn(json.dumps(GOLD["parameters"])), True, False),  # parameters alone
        (turn("not JSON", call()), True, True),
        (turn("3", call()), False, False),  # what is no object ends the search
        (turn(json.dumps(call())), True, False),  # a call as text
        (turn('["name", "parameters"]', call()), False, False),
        (turn("null", call()), False, False),
        (turn("[1]", call()), True, False),
        ("", False, False),
        ("<response> hi </response>", False, False),
        ("[" * 100_000, False, False),
    ],
)
def test_a_turn_is_judged_as_the_released_script_judges_it(
    output: str, released_rule: bool, strict: bool
) -> None:
    verdict = BENCHMARK.judge(Item("1", "level_1", (), GOLD), Reply(output))
    assert (verdict.correct, verdict.also["strict"]) == (released_rule, strict)


def test_what_is_wrong_is_said() -> None:
    item = Item("1", "level_1", (), GOLD)
    assert BENCHMARK.judge(item, Reply("")).reason == "called nothing"
    assert BENCHMARK.judge(item, Reply(turn(call("Other")))).reason == "wrong tool"
    assert "wanted" in BENCHMARK.judge(item, Reply(turn(call(city="Oslo")))).reason


def test_gold_answers_score_all_and_empty_ones_nothing_in_every_column(tmp_path: Path) -> None:
    for level in (1, 2, 3):
        rows = [
            {"system": "s", "user": str(n), "answer": [GOLD] if level != 2 else GOLD} for n in range(level)
        ]
        (tmp_path / f"level-{level}-api_processed.json").write_text(json.dumps(rows))
    items = BENCHMARK.items(None, tmp_path)
    assert [item.id for item in items] == [
        "Level1_0", "Level2_0", "Level2_1", "Level3_0", "Level3_1", "Level3_2"
    ]  # fmt: skip
    for outputs, value in ((turn(json.dumps(GOLD)), 1.0), ("", 0.0)):
        scores, _ = score(BENCHMARK, items, [Reply(outputs)] * len(items))
        assert {name: (m["value"], m["total"]) for name, m in scores["metrics"].items()} == {
            f"{column}{rule}": (value, total)
            for rule in ("", "_strict")
            for column, total in (("level_1", 1), ("level_2", 2), ("level_3", 3), ("overall", 6))
        }


def test_an_item_that_could_not_be_run_takes_the_value_of_both_rules(tmp_path: Path) -> None:
    scores, (row,) = score(BENCHMARK, [Item("1", "level_1", ({"content": "q"},), GOLD)], [NotRun()])
    assert row["correct"] is row["correct_strict"] is None
    assert scores["metrics"]["overall_strict"]["why"] == "1 of 1 items could not be run"


@pytest.mark.skipif(not DATA.is_dir(), reason="the released files are not here")
def test_the_released_items_are_597_and_their_gold_answers_are_right() -> None:
    assert released.missing("api_bank", DATA) == ""
    items = BENCHMARK.items(None, DATA)
    scores, _ = score(BENCHMARK, items, [Reply(turn(json.dumps(item.gold))) for item in items])
    assert {name: (m["value"], m["total"]) for name, m in scores["metrics"].items() if "_s" not in name} == {
        "level_1": (1.0, 399), "level_2": (1.0, 67), "level_3": (1.0, 131), "overall": (1.0, 597)
    }  # fmt: skip
