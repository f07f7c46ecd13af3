"""Functions that are given all responses to a prompt together (`batch: true`)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.rewards.test_python_component import reward_of
from tests.rewards.turns import GOLD, SFO, turn
from toolrl_cli.rewards import Reward, RewardError, get_reward
from toolrl_cli.rewards.comparing.compare import profile
from toolrl_cli.rewards.comparing.rescore import Rollout, rescore, score_rollouts
from toolrl_cli.rewards.explain import explain
from toolrl_cli.rewards.gold import check_gold

LONGEST = "def f(completions):\n    most = max(map(len, completions))\n    return [len(c) / most for c in completions]"


def batch_of(tmp_path: Path, source: str, **keys: object) -> Reward:
    return reward_of(tmp_path, source, batch=True, **keys)


def totals(reward: Reward, *texts: str, truth: str = GOLD) -> list[float]:
    return [score.total for score in reward.score_group(texts, truth)]


def test_a_function_compares_the_responses_to_a_prompt(tmp_path: Path) -> None:
    reward = batch_of(tmp_path, LONGEST, range=[0, 1])
    assert totals(reward, "a", "aaaa", "aa") == [0.25, 1.0, 0.5]
    assert reward.score("a", GOLD).total == 1.0  # alone


def test_inputs_are_lists_but_for_the_run_s(tmp_path: Path) -> None:
    source = (
        "def f(completions, ground_truths, calls, gold_calls, tokens, prompts, extra_infos, step, total_steps):\n"
        "    same = len(set(ground_truths)) == 1 and len(gold_calls) == len(completions)\n"
        "    return [same * (t + len(c or []) + i['x'] + len(p) + step + total_steps)\n"
        "            for t, c, i, p in zip(tokens, calls, extra_infos, prompts, strict=True)]"
    )
    row = {"extra_info": {"x": 1000}, "prompt": [{"role": "user", "content": "hi"}]}
    scores = batch_of(tmp_path, source).score_group([turn(SFO), "no"], GOLD, 20, 300, [50, 60], row)
    assert [score.total for score in scores] == [50 + 1 + 1000 + 1 + 320, 60 + 1000 + 1 + 320]


@pytest.mark.parametrize(
    "source",
    [
        "def f(data_sources, solution_strs, ground_truths, extra_infos): return [1.0] * len(solution_strs)",
        "def f(prompts, completions, **kwargs): return [1.0 for _ in kwargs['gold_calls']]",
        "async def f(completions): return (1.0,) * len(completions)",
        "import numpy\ndef f(completions): return numpy.ones(len(completions), numpy.float32)",
    ],
)
def test_verl_s_and_trl_s_signatures_and_arrays_work_as_they_are(tmp_path: Path, source: str) -> None:
    assert totals(batch_of(tmp_path, source), "a", "b", "c") == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 0.5", "f returned 0.5, which is no list .*one value for each of the 2 responses"),
        ("return [1]", "f returned 1 values for 2 responses"),
        ("return {'score': [1, 2]}", "which is no list"),
        ("return [1, None]", "f returned None for response 2 of 2, which is no number"),
        ("return [1, float('nan')]", "f returned nan for response 2 of 2"),
        ("return [1, {'x': 1}]", "f returned a mapping without 'score' for response 2 of 2"),
        ("return [{'score': 1, 'x': []}, 1]", r"f returned \[\] under 'x' for response 1 of 2"),
        ("return [0, 7]", r"f returned 7, outside its range \[0, 1\]"),
        ("raise OSError('gone')", "f raised OSError: gone"),
    ],
)
def test_what_is_no_list_of_one_value_each_is_told_in_a_line(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(RewardError, match=message) as fault:
        totals(batch_of(tmp_path, f"def f(completions): {body}", range=[0, 1]), "a", "b")
    assert fault.value.completion == ("b" if "7" in body else "a")


def test_inputs_of_the_other_kind_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(RewardError, match=r"'completions', which is no input .*`batch: true` gives"):
        reward_of(tmp_path, LONGEST).score("a", GOLD)
    with pytest.raises(RewardError, match=r"'completion', which .*inputs under batch: true: completions, "):
        batch_of(tmp_path, "def f(completion): return 1").score("a", GOLD)
    with pytest.raises(RewardError, match=r"components\.mine\.batch: 'yes' is neither true nor false"):
        reward_of(tmp_path, LONGEST, batch="yes")


def test_batch_is_part_of_the_identity_and_its_absence_changes_none(tmp_path: Path) -> None:
    source = "def f(**inputs): return [1] * len(inputs['tokens'] or '.')"
    plain, batch = reward_of(tmp_path, source, batch=False), batch_of(tmp_path, source)
    assert plain == reward_of(tmp_path, source) != batch
    assert "batch" not in plain.to_dict()["components"]["mine"]
    assert plain.identity() != batch.identity()
    assert get_reward(json.loads(json.dumps(batch.to_dict()))) == batch


def test_a_function_is_given_the_responses_that_its_part_counts_for(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text("def f(completions): return [len(completions)] * len(completions)")
    mine = {"kind": "python", "path": "user.py", "function": "f", "batch": True}
    components = {"format": {}, "mine": {**mine, "only_if": "format", "otherwise": 0}}
    reward = get_reward({"components": components, "clamp": [0, 2.5]}, base_dir=tmp_path)
    scores = reward.score_group([GOLD, "no", GOLD], GOLD)
    assert [score.parts["mine"].raw for score in scores] == [2.0, 0.0, 2.0]
    assert [score.total for score in scores] == [2.5, 0.0, 2.5]
    assert [score.total for score in reward.score_group(["no"], GOLD)] == [0.0]


def test_a_group_under_other_rewards_is_its_responses_one_by_one() -> None:
    for name in ("original", "tool_n1@toolrl"):
        reward, texts = get_reward(name), [GOLD, "no", turn(SFO)]
        assert not reward.takes_groups
        assert reward.score_group(texts, GOLD, 3) == [reward.score(text, GOLD, 3) for text in texts]


def test_numbers_beside_the_scores_belong_to_their_responses(tmp_path: Path) -> None:
    source = "def f(completions): return [{'score': 1, 'size': len(c)} for c in completions]"
    scores = batch_of(tmp_path, source).score_group(["a", "bb"], GOLD)
    assert [dict(score.beside) for score in scores] == [{"mine/size": 1.0}, {"mine/size": 2.0}]


def test_an_explanation_says_of_how_many_responses_it_is_one(tmp_path: Path) -> None:
    reward = batch_of(tmp_path, LONGEST)
    found = explain(reward, "aa", GOLD, others=[("a", None), ("aaaa", 7)], place=1)
    alone = explain(reward, "aa", GOLD).parts[0].terms[-1]
    assert alone.formula == "value of the function, given this response alone"
    assert (found.total, found.parts[0].terms[-1].formula) == (
        0.5,
        "value of the function, given 3 responses to the prompt",
    )


def test_rollouts_are_scored_by_group_and_fail_by_group(tmp_path: Path) -> None:
    source = LONGEST.replace("most =", "assert 'bad' not in completions\n    most =")
    reward = batch_of(tmp_path, source)
    rows = [("p", 1, "a"), ("q", 1, "aaa"), ("p", 1, "aaaa"), ("p", 2, "aa"), ("r", 1, "bad"), ("r", 1, "a")]
    rollouts = [Rollout(text, GOLD, group, step) for group, step, text in rows]
    scored = score_rollouts(rollouts, [reward, get_reward("coarse")])
    assert {at: found[0] for at, found in scored.totals.items()} == {0: 0.25, 1: 1.0, 2: 1.0, 3: 1.0}
    assert sorted(scored.faults) == [4, 5]
    assert rescore(rollouts[:4], [reward]).totals == ((0.25, 1.0, 1.0, 1.0),)


def test_the_changes_of_one_gold_answer_are_a_group(tmp_path: Path) -> None:
    found = profile(batch_of(tmp_path, LONGEST), [(GOLD, {})])
    assert max(cell.mean for cell in found.cells.values()) == 1.0
    assert 0 < found.cells["nothing"].mean < found.cells["gold"].mean < 1


def test_what_a_gold_answer_earns_alone_is_not_held_against_it(tmp_path: Path) -> None:
    reward = batch_of(
        tmp_path, "def f(completions): return [len(completions) - 1] * len(completions)", range=[0, 3]
    )
    assert check_gold(reward, [GOLD]).ok
