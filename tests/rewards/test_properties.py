"""What holds for every design, completion and ground truth."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rewards.strategies import call_lists, completions, ground_truths
from tests.rewards.test_designs import ALL
from tests.rewards.turns import call, turn
from toolrl_cli.rewards import get_reward

names = st.sampled_from(ALL)
steps = st.integers(0, 300)
unhurried = settings(deadline=None, max_examples=60)


@unhurried
@given(name=names, text=completions | ground_truths(), gold=ground_truths(), step=steps)
def test_a_score_of_any_text_lies_in_its_range_and_is_its_parts_sum(
    name: str, text: str, gold: str, step: int
) -> None:
    reward = get_reward(name)
    score = reward.score(text, gold, step, 150)
    assert score.total == sum(part.weighted for part in score.parts.values())
    for part, (low, high) in reward.part_ranges(step, 150, gold).items():
        assert low - 1e-9 <= score.parts[part].weighted <= high + 1e-9


@unhurried
@given(name=names, text=st.text(max_size=200), gold=ground_truths())
def test_no_text_raises(name: str, text: str, gold: str) -> None:
    get_reward(name).score(text, gold, 1, 100)


@unhurried
@given(name=names, gold=ground_truths(), step=steps)
def test_gold_is_maximal_in_format_and_correctness(name: str, gold: str, step: int) -> None:
    reward = get_reward(name)
    parts = reward.score(gold, gold, step, 150).parts
    for part in ("format", "correctness"):
        assert parts[part].weighted >= reward.part_ranges(step, 150, gold)[part][1] - 1e-9


@unhurried
@given(
    gold=ground_truths(), text=ground_truths(), scale=st.sampled_from(["equal_max", "two_stage", "dynamic"])
)
def test_a_change_of_scale_changes_no_order(gold: str, text: str, scale: str) -> None:
    original, scaled = get_reward("original"), get_reward(scale)
    pair = [(reward.score(gold, gold, 40), reward.score(text, gold, 40)) for reward in (original, scaled)]
    for part in ("format", "correctness"):
        (best, other), (scaled_best, scaled_other) = (
            (scores[0].parts[part].weighted, scores[1].parts[part].weighted) for scores in pair
        )
        assert (best > other) == (scaled_best > scaled_other)


distinct = st.lists(st.sampled_from("fghk"), min_size=1, max_size=4, unique=True)


@unhurried
@given(
    tools=distinct, order=st.randoms(use_true_random=False), fidelity=st.sampled_from(["released", "paper"])
)
def test_with_distinct_names_the_order_of_calls_does_not_change_original(
    tools: list[str], order: Any, fidelity: str
) -> None:
    gold = turn(*(call(name, a=i, b=name) for i, name in enumerate(tools)))
    given_ = [call(name, a=0, c=name) for name in tools]
    shuffled = order.sample(given_, len(given_))
    reward = get_reward({"name": "original", "fidelity": fidelity})
    before, after = (reward.score(turn(*calls), gold).total for calls in (given_, shuffled))
    assert abs(before - after) < 1e-9


@unhurried
@given(wanted=call_lists, at=st.integers(0, 3), name=names)
def test_a_ground_truth_with_one_more_parameter_makes_its_old_answer_worse(
    wanted: list[dict[str, Any]], at: int, name: str
) -> None:
    answer = turn(*(json.dumps(one) for one in wanted))
    wanted[at % len(wanted)]["parameters"]["mutated"] = 1
    mutated = turn(*(json.dumps(one) for one in wanted))
    reward = get_reward(name)
    best, now = (
        reward.score(text, mutated, 1, 100).parts["correctness"].weighted for text in (mutated, answer)
    )
    assert now < best


@unhurried
@given(words=st.integers(0, 700), more=st.integers(0, 300), step=steps)
def test_a_longer_thought_never_earns_less_length(words: int, more: int, step: int) -> None:
    for name in ("length", "length_dynamic", "length@paper", "length_dynamic@paper"):
        short, long = (
            get_reward(name).score("<think>" + " w" * count + " </think>", "", step, 300).parts["length"].raw
            for count in (words, words + more)
        )
        assert short <= long


@unhurried
@given(text=completions, gold=ground_truths(), name=names)
def test_white_space_and_what_follows_the_turn_do_not_count(text: str, gold: str, name: str) -> None:
    reward = get_reward(name)
    plain = text.replace("<|im_start|>", "").replace("<|im_end|>", "")
    wrapped = f"<|im_start|>assistant\n{plain} \n<|im_end|>\n<tool_call>"
    assert reward.score(wrapped, gold, 1, 100) == reward.score(plain, gold, 1, 100)
