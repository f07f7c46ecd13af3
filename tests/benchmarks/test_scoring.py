"""What scores and items say beside right and wrong."""

from __future__ import annotations

from toolrl_cli.benchmarks.catalogue.api_bank import BENCHMARK
from toolrl_cli.benchmarks.scoring import score
from toolrl_cli.spec.evaluations.benchmarks import Item, NotRun, Reply

ASKED = ({"role": "system", "content": "s"}, {"role": "user", "content": "q"})
ITEMS = [
    Item(str(n), f"level_{n}", ASKED, {"name": "f", "parameters": {}}, [{"name": "f"}]) for n in (1, 2, 3)
]


def test_a_metric_without_a_value_names_the_key_to_raise_and_the_item_why_it_has_no_verdict() -> None:
    limit = NotRun("the prompt has 9 tokens, and the limit is 8", "raise evaluation.max_prompt_length")
    scores, rows = score(BENCHMARK, ITEMS, [Reply("a"), limit, Reply("b")])
    assert scores["metrics"]["level_1"]["value"] == 0.0
    for column in ("level_2", "overall", "overall_strict"):
        metric = scores["metrics"][column]
        assert metric["value"] is None and metric["why"].endswith(
            "could not be run: raise evaluation.max_prompt_length"
        )
    assert rows[1]["correct"] is None and "the limit is 8: raise evaluation" in rows[1]["reason"]


def test_an_item_shows_all_that_was_asked_wanted_and_said_and_cut_answers_are_counted() -> None:
    scores, rows = score(BENCHMARK, ITEMS, [Reply("a", stop="length"), Reply("b"), Reply("c", stop="length")])
    one = {"cut": 1, "total": 1}
    assert scores["cut"] == {"level_1": one, "level_3": one}
    assert list(rows[0])[:10] == [
        *("id", "category", "correct", "reason", "prompt", "tools", "gold", "output", "stop", "calls")
    ]
    assert rows[0]["prompt"] == list(ASKED) and rows[0]["tools"] == [{"name": "f"}]
    assert (rows[0]["gold"], rows[0]["output"], rows[0]["stop"]) == (ITEMS[0].gold, "a", "length")
