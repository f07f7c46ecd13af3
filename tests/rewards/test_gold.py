"""The gold check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.rewards.turns import GOLD, SFO, turn
from toolrl_cli.rewards import RewardError, get_reward
from toolrl_cli.rewards.gold import check_gold
from toolrl_cli.rewards.stretch import turning_steps

GOOD = [GOLD, turn(response="ok"), turn(SFO, response="ok"), turn()]
NO_THINK = turn(SFO, think=None)


@pytest.mark.parametrize("name", ["original", "coarse+two_stage", "dynamic", "length", "finegrained@paper"])
def test_well_formed_rows_reach_the_maximum_of_every_design(name: str) -> None:
    report = check_gold(get_reward(name), GOOD)
    assert report.ok
    assert report.rows == 4
    report.raise_if_imperfect()


def test_rows_that_fall_short_are_named_with_their_parts() -> None:
    report = check_gold(get_reward("original"), [GOLD, NO_THINK, turn("bad")])
    assert not report.ok
    assert [shortfall.row for shortfall in report.shortfalls] == ["1", "2"]
    assert report.shortfalls[0].parts == {"format": (0.0, 1.0)}
    assert str(report.shortfalls[0]) == "row 1: format 0 of 1"
    assert report.shortfalls[1].problem.startswith(
        "ground truth: its tool calls are not one JSON value a line"
    )
    assert json.loads(json.dumps(report.to_dict()))["ok"] is False


def test_imperfect_gold_is_refused_in_one_line_with_the_way_on() -> None:
    report = check_gold(get_reward("original"), [(f"train/{i}", NO_THINK) for i in range(7)])
    with pytest.raises(RewardError) as fault:
        report.raise_if_imperfect("train.parquet")
    line = str(fault.value)
    assert line.startswith(
        "train.parquet: 7 of 7 gold answers do not reach the maximum of reward 'original': row "
    )
    assert "row train/4: format 0 of 1; …" in line
    assert "row train/5" not in line
    assert line.endswith("(correct the rows, or continue with --allow-imperfect-gold)")
    assert "\n" not in line


def test_few_shortfalls_are_named_without_an_ellipsis() -> None:
    with pytest.raises(RewardError, match=r"row 0: format 0 of 1 \("):
        check_gold(get_reward("original"), [NO_THINK]).raise_if_imperfect()


def test_no_rows_are_no_shortfall() -> None:
    assert check_gold(get_reward("original"), []).rows == 0


def test_a_user_component_is_judged_where_it_declares_a_range(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text("def f(): return 1")
    part = {"kind": "python", "path": "user.py", "function": "f"}
    bounded = get_reward({"components": {"mine": {**part, "range": [0, 2]}}}, base_dir=tmp_path)
    assert check_gold(bounded, [GOLD]).shortfalls[0].parts == {"mine": (1.0, 2.0)}
    assert check_gold(get_reward({"components": {"mine": part}}, base_dir=tmp_path), [GOLD]).ok


def test_a_fault_of_the_reward_is_no_shortfall_of_a_row(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text("def f(): raise ValueError('mine')")
    part = {"kind": "python", "path": "user.py", "function": "f"}
    with pytest.raises(RewardError, match=r"^row 0: components\.mine: f raised ValueError: mine"):
        check_gold(get_reward({"components": {"mine": part}}, base_dir=tmp_path), [GOLD])
    with pytest.raises(RewardError, match="total_steps is None"):
        check_gold(get_reward("dynamic@paper"), [GOLD])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"name": "f", "arguments": {"a": 1}}', "call 0 has no object `parameters`, but `arguments`"),
        ('{"name": "f", "parameters": "{\\"a\\": 1}"}', "call 0 has no object `parameters`: they are text"),
        ('{"type": "function", "function": {"name": "f"}}', "but OpenAI's nested `function`"),
        ('{"tool": "f"}', "call 0 has no `name`"),
        ('{"name": "f"}', "call 0 has no object `parameters`;"),
    ],
)
def test_gold_of_which_no_part_can_earn_anything_is_named_with_its_row(line: str, says: str) -> None:
    for name in ("original", "original@paper"):
        report = check_gold(get_reward(name), [GOLD, turn(line)])
        assert [shortfall.row for shortfall in report.shortfalls] == ["1"]
        assert says in str(report.shortfalls[0])
        assert str(report.shortfalls[0]).endswith("; an answer earns all or nothing")


def test_gold_in_another_form_is_no_fault_where_all_or_nothing_is_what_is_asked_for() -> None:
    text_parameters = turn('{"name": "f", "parameters": "a"}')
    assert check_gold(get_reward("coarse"), [turn('{"name": "f", "arguments": {}}')]).ok
    assert check_gold(get_reward("intermediate"), [text_parameters]).ok
    assert not check_gold(get_reward("intermediate@paper"), [text_parameters]).ok


def test_gold_with_a_block_for_every_call_is_told_that_only_the_first_counts() -> None:
    block = '<tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>'
    for design in ("coarse", "nemo_gym_f1", "match_tir"):
        report = check_gold(get_reward(design), [f"<think> t </think>\n{block}\n{block}"])
        assert "only the first of its <tool_call> blocks counts" in str(report.shortfalls[0]), design


def test_gold_with_the_line_ends_of_windows_is_told_so() -> None:
    report = check_gold(get_reward("original"), [GOLD.replace("\n", "\r\n")])
    assert str(report.shortfalls[0]) == "row 0: its lines end in CRLF, and the format wants LF"


def test_a_component_that_asks_for_tokens_gets_some_of_a_gold_answer(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text("def f(tokens, extra_info): return 1 / tokens * extra_info['n']")
    part = {"kind": "python", "path": "user.py", "function": "f"}
    reward = get_reward({"components": {"mine": part}}, base_dir=tmp_path)
    assert check_gold(reward, [("a", GOLD, {"extra_info": {"n": 1}})]).ok


CRLF = GOLD.replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("weight", "gold", "told"),
    [
        (
            {"kind": "step", "at": 10, "from": 0, "to": 1},
            CRLF,
            ["row 0 from step 10 on: its lines end in CRLF"],
        ),
        ({"kind": "linear", "until": 9, "from": 0, "to": 1}, CRLF, ["row 0: its lines end in CRLF"]),
        ({"kind": "step", "at": 10, "from": 1, "to": -1}, GOLD, ["row 0 from step 10 on: format -1 of 0"]),
        (
            {"kind": "linear", "unit": "share", "until": 1, "from": 1, "to": -1},
            GOLD,
            ["row 0 from step 25 on: "],
        ),
        (
            {"kind": "linear", "until": 5, "from": 3, "to": 1, "extrapolate": True},
            GOLD,
            ["row 0 from step 25 on: "],
        ),
        ({"kind": "step", "at": 26, "from": 1, "to": -1}, GOLD, []),  # the run has ended
        (0, CRLF, []),  # a metric
    ],
)
def test_a_part_is_judged_wherever_it_counts_and_not_at_the_first_step_alone(
    weight: object, gold: str, told: list[str]
) -> None:
    parts = {"correctness": {"kind": "correctness"}, "format": {"kind": "format", "weight": weight}}
    report = check_gold(get_reward({"components": parts}), [gold], 25)
    assert [str(short)[: len(start)] for short, start in zip(report.shortfalls, told, strict=True)] == told


def test_a_step_that_judges_as_an_earlier_one_is_not_scored_again() -> None:
    assert turning_steps(get_reward("two_stage"), 105) == turning_steps(get_reward("length"), 105) == (1,)
    assert turning_steps(get_reward("dynamic"), 105) == (1, 75, 105)


def test_a_gold_answer_is_not_held_against_what_is_made_of_a_groups_part(tmp_path: Path) -> None:
    (tmp_path / "group.py").write_text("def f(completions):\n    return [0.25] * len(completions)\n")
    grouped = {"kind": "python", "path": "group.py", "function": "f", "batch": True, "range": [0, 0.5]}
    parts = {"shortest": grouped, "bonus": {"kind": "exact", "only_if": ["shortest"]}, "exact": {}}
    reward = get_reward({"components": parts}, base_dir=tmp_path)
    call = '<think> t </think>\n<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call>'
    assert check_gold(reward, [call]).ok
