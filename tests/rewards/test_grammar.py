"""Compositions: parts that refer to parts, settings that are refused, and what a setting changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.rewards.calls.equality import Equality
from toolrl_cli.rewards.calls.style import STYLES, Call, Style, parse_style
from toolrl_cli.rewards.gold import check_gold

GOLD = '<think>t</think>\n<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call>'
WRONG = GOLD.replace("1}}", "2}}")
SILENT = "<think>t</think>\n<response>no</response>"


def total(components: dict[str, Any], completion: str, truth: str = GOLD, **more: Any) -> float:
    row = more.pop("row", {})
    return get_reward({"components": components, **more}).score(completion, truth, row=row).total


def test_a_part_counts_only_if_its_conditions_hold() -> None:
    parts = {"think": {"kind": "layout", "rules": ["think"], "weight": 0}, "exact": {"only_if": "think"}}
    assert total(parts, GOLD) == 1
    assert total(parts, GOLD.removeprefix("<think>t</think>\n")) == 0
    parts["exact"] = {"only_if": ["not think", "wants_call"], "otherwise": 0.25}
    assert total(parts, GOLD) == 0.25
    assert total(parts, GOLD.removeprefix("<think>t</think>\n")) == 1
    assert total(parts, SILENT, SILENT) == 0.25


def test_a_part_of_other_sources_counts_nothing_and_is_refused_where_none_is_known() -> None:
    parts = {"exact": {"sources": ["a", "b"]}, "names": {"sources": "c", "weight": 2}}
    assert total(parts, GOLD, row={"data_source": "b"}) == 1
    assert total(parts, GOLD, row={"data_source": "c"}) == 2
    assert get_reward({"components": parts}).total_range() == (0, 3)
    with pytest.raises(RewardError, match="data_source is not known here"):
        total(parts, GOLD)


def test_a_total_is_cut_and_so_is_its_range() -> None:
    reward = get_reward({"components": {"correctness": {}}, "clamp": [-1, 2]})
    assert (reward.score(GOLD, GOLD).total, reward.score("", GOLD).total) == (2, -1)
    assert reward.total_range() == (-1, 2)
    assert get_reward(reward.to_dict()) == reward != get_reward({"components": {"correctness": {}}})


def test_parts_come_after_those_that_they_refer_to_however_they_are_written() -> None:
    parts = {
        "a": {"kind": "product", "of": ["b", "z"]},
        "b": {"kind": "table", "rows": [{"when": "z", "value": 0.5}, {"when": "y", "value": "y"}]},
        "y": {"kind": "names"},
        "z": {"kind": "exact"},
    }
    reward = get_reward({"components": parts})
    backwards = get_reward({"components": dict(reversed(parts.items()))})
    assert reward == backwards and [part.name for part in reward.components] == ["y", "z", "b", "a"]
    score = reward.score(WRONG, GOLD)
    assert {name: part.raw for name, part in score.parts.items()} == {"y": 1, "z": 0, "b": 1, "a": 0}


@pytest.mark.parametrize(
    ("components", "told"),
    [
        ({"a": {"kind": "product", "of": ["b"]}, "b": {"kind": "product", "of": ["a"]}}, "in a circle"),
        ({"a": {"kind": "product", "of": ["exakt"]}, "exact": {}}, "did you mean 'exact'"),
        ({"exact": {"only_if": "thinks"}}, "which is no part"),
        ({"exact": {"otherwise": 1}}, r"exact\.otherwise: nothing says when"),
        ({"exact": {"only_if": []}, "names": {"only_if": 3}}, "is no condition"),
        ({"t": {"kind": "table", "rows": [{"when": "x"}]}}, r"rows\.0.* is no row"),
        ({"t": {"kind": "table", "rows": []}}, "no list of rows"),
        (
            {"t": {"kind": "table", "rows": [{"when": "wants_call", "value": 1}], "range": [0, 5]}},
            "as they are",
        ),
        ({"l": {"kind": "layout", "rules": ["thinking"]}}, "is not valid"),
        ({"l": {"kind": "layout"}}, "no list of rules"),
        ({"f": {"kind": "faults"}}, "says which it counts"),
        ({"f": {"kind": "faults", "of": "extra_calls", "most": 0}}, "no number of faults"),
        ({"r": {"kind": "repetition", "n": 0}}, "no number of words"),
        ({"c": {"kind": "cosine", "of": "exact"}}, "no number of tokens"),
        ({"exact": {"equality": "same"}}, "is not valid"),
        ({"exact": {"equality": {"rule": "json", "tolerance": 0.1}}}, "no effect"),
        ({"exact": {"equality": {"overlap": 0.1}}}, "belongs to the rule `typed`"),
        ({"exact": {"reading": {"blok": "last"}}}, "did you mean 'block'"),
        ({"exact": {"reading": {"tags": "<call>"}}}, "no pair of tags"),
        ({"names": {"keys": "gold"}}, "no effect but with credit: exact"),
        ({"calls": {"credit": {"cal": 1}}}, "not known here"),
        ({"exact": {"gold": "x"}}, "not known here"),
        ({"exact": {"sources": 3}}, "no list of data sources"),
    ],
)
def test_what_would_do_nothing_or_something_else_is_refused(components: Any, told: str) -> None:
    with pytest.raises(RewardError, match=told):
        get_reward({"components": components})


def test_a_setting_for_all_parts_is_refused_where_no_part_takes_it() -> None:
    with pytest.raises(RewardError, match=r"reward\.reading: no part of this reward takes it"):
        get_reward({"components": {"correctness": {}}, "reading": "hermes"})
    both = {"components": {"exact": {}, "names": {"reading": "toolrl"}}, "reading": "hermes"}
    apart = {"exact": {"reading": "hermes"}, "names": {}}
    assert get_reward(both) == get_reward({"components": apart})


@pytest.mark.parametrize("name", STYLES)
def test_what_a_style_writes_it_reads_again(name: str) -> None:
    calls = (Call("f", {"a": [1, {"b": "ä"}]}), Call("g", {}))
    style = STYLES[name]
    assert style.read(style.write(calls)).calls == (calls[-1:] if name == "react" else calls)
    assert parse_style(style.to_dict(), "reading") == style


@pytest.mark.parametrize("form", ["lines", "json", "any", "react"])
@pytest.mark.parametrize(
    "text",
    [
        *("", "[", "[" * 100_000, '{"a":' * 50_000, "{" * 20_000, "9" * 5000, "null", '"[]"', '"x"'),
        "[1, 2]\n{}",
    ],
)
def test_no_text_stops_a_reading(form: str, text: str) -> None:
    read = Style(form=form).read(
        f"<tool_call>{text}</tool_call>" if form != "react" else f"Action: f\nAction Input:{text}"
    )
    assert read.called and (read.calls is not None or read.problem)
    assert isinstance(
        get_reward({"components": {"exact": {"reading": {"form": form}}}}).score(text, GOLD).total, float
    )


@pytest.mark.parametrize(
    ("equality", "one", "other", "same"),
    [
        (Equality(), 1, 1.0, True),
        (Equality(), 1, True, False),
        (Equality("python"), 1, True, True),
        (Equality("json"), 1, 1.0, False),
        (Equality("json"), {"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        (Equality("numbers_as_text"), [1], ["1"], True),
        (Equality("numbers_as_text"), 1, 1.0, False),
        (Equality("folded"), "New-York", "new york", True),
        (Equality("folded"), "it's", 'it"s', True),
        (Equality("typed"), 1, True, True),
        (Equality("typed"), True, 1, False),
        (Equality(tolerance=0.1), {"a": [1.0]}, {"a": [1.05]}, True),
        (Equality(tolerance=0.1), 1, True, False),
    ],
)
def test_rules_of_equality(equality: Equality, one: Any, other: Any, same: bool) -> None:
    assert equality.same(one, other) is same


@pytest.mark.parametrize(
    ("rules", "turn", "kept"),
    [
        ("think_before_call", "<tool_call></tool_call><think></think>", 0),
        ("think_before_call", "<think></think> and no call", 1),
        ("nothing_else", f"{GOLD} Done.", 0),
        ("nothing_else", GOLD, 1),
        ("one_call", GOLD, 1),
        ("one_block", GOLD + GOLD, 0),
        ("no_response", SILENT, 0),
        ("readable", "<tool_call>x</tool_call>", 0),
        ("called", "<tool_call>x</tool_call>", 1),
        (["think_first", "think_once"], "<think><think></think>", 0),
    ],
)
def test_rules_of_layout(rules: Any, turn: str, kept: float) -> None:
    assert total({"form": {"kind": "layout", "rules": rules}}, turn) == kept


def test_faults_are_counted_up_to_the_most_that_they_cost() -> None:
    row = {
        "extra_info": {
            "tools": [{"function": {"name": "f", "parameters": {"properties": {"a": {}}, "required": ["a"]}}}]
        }
    }
    call = json.dumps({"name": "f", "parameters": {"b": 1}})
    turn = f"<tool_call>\n{call}\n{call}\n{json.dumps({'name': 'g', 'parameters': {}})}\n</tool_call>"
    counts = {
        **{"extra_calls": 2, "missing_calls": 0, "repeated_calls": 1},
        **{"unknown_tools": 1, "unknown_parameters": 2, "missing_parameters": 2},
    }
    for sort, count in counts.items():
        assert total({"f": {"kind": "faults", "of": sort, "most": 4}}, turn, row=row) == -count / 4
        assert total({"f": {"kind": "faults", "of": sort}}, turn, row=row) == -min(count, 1)


def test_the_gold_check_asks_of_a_row_only_what_its_conditions_and_its_source_allow() -> None:
    rows = [("call", GOLD, {"data_source": "a"}), ("silent", SILENT, {"data_source": "b"})]
    parts = {
        "exact": {"only_if": "wants_call"},
        "names": {"only_if": "not wants_call", "otherwise": 0.5, "sources": "a"},
    }
    reward = get_reward({"components": parts})
    assert check_gold(reward, rows).ok
    assert reward.part_ranges(1, 1, SILENT, {"data_source": "b"}) == {"exact": (0, 0), "names": (0, 0)}
    halo = check_gold(get_reward("halo_forge@toolrl"), rows)
    assert halo.ok
    nowhere = get_reward({"components": {"exact": {"sources": "c"}}})
    with pytest.raises(
        RewardError, match=r"exact\.sources: no row is of these sources \(the rows are of a, b\)"
    ):
        check_gold(nowhere, rows)
    assert check_gold(nowhere, rows, whole_data=False).ok
