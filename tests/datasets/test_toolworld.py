"""ToolWorld's generator."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import pytest

from toolrl_cli.datasets import rlla_format, toolworld
from toolrl_cli.datasets import toolworld_words as words
from toolrl_cli.errors import SpecError
from toolrl_cli.rewards import get_reward
from toolrl_cli.rewards.exact_match import parse_turn

SIZES = {"base": 1500, "sft": 200, "train": 600, "val": 64, "benchmark": 400}
ROWS = {split: toolworld.generate(split, 0, SIZES[split]) for split in toolworld.SPLITS}
CLEAN = [example for split in ("sft", "train", "val", "benchmark") for example in ROWS[split]]


def digest(rows: list[toolworld.Example]) -> str:
    return hashlib.sha256(json.dumps([[e.system, e.user, e.answer] for e in rows]).encode()).hexdigest()[:16]


def unseen_names() -> set[str]:
    return {f"{verb}{sep}{noun}" for verb, noun in words.UNSEEN_TOOLS for sep in words.SEPARATORS}


def test_rows_are_these_and_no_others_for_every_python_and_every_process() -> None:
    # Literal: a change of the generator must change GENERATOR_VERSION too, or results would be mixed up.
    assert toolworld.GENERATOR_VERSION == 2
    assert {split: digest(toolworld.generate(split, 0, 30)) for split in toolworld.SPLITS} == {
        "base": "ecd714b8a6212106",
        "sft": "f9c33075515700c3",
        "train": "a8487235a976d144",
        "val": "59949b2a6cc3501f",
        "benchmark": "7ce7015c83e5adbd",
    }


def test_a_longer_split_begins_with_the_shorter_one() -> None:
    assert toolworld.generate("train", 0, 10) == ROWS["train"][:10]


def test_other_seeds_give_other_rows() -> None:
    one, other = ({e.user for e in toolworld.generate("train", seed, 100)} for seed in (0, 1))
    assert len(one & other) < 10  # short requests may recur, within the split


@pytest.mark.parametrize("seed", [0, 1])
def test_no_user_message_is_in_two_splits_whatever_the_seeds(seed: int) -> None:
    users = {split: {e.user for e in toolworld.generate(split, seed, 300)} for split in toolworld.SPLITS}
    for split, messages in users.items():
        for other, rows in ROWS.items():
            if other != split:
                assert not messages & {e.user for e in rows}


def test_no_user_message_is_repeated_within_a_split() -> None:
    for rows in ROWS.values():
        assert len({e.user for e in rows}) == len(rows)


def test_unseen_tools_are_in_no_training_text_and_in_every_item_of_their_category() -> None:
    for split in ("base", "sft", "train", "val"):
        for example in ROWS[split]:
            text = example.system + example.user + example.answer
            assert not any(name in text for name in unseen_names())
    for example in ROWS["benchmark"]:
        called = {str(call["name"]) for call in parse_turn(example.answer).calls}
        assert (called <= unseen_names() and bool(called)) == (example.category == "unseen_tools")


def test_every_word_of_an_unseen_tool_is_known_from_seen_ones() -> None:
    assert {verb for verb, _ in words.UNSEEN_TOOLS} <= set(words.VERBS)
    for position, vocabulary in ((0, words.VERBS), (1, words.NOUNS)):
        held_out = Counter(pair[position] for pair in words.UNSEEN_TOOLS)
        combinations = len(words.VERBS) * len(words.NOUNS) / len(vocabulary)
        assert max(held_out.values()) <= combinations / 2


def test_the_benchmark_has_its_four_categories_in_equal_shares() -> None:
    assert Counter(e.category for e in ROWS["benchmark"]) == dict.fromkeys(toolworld.CATEGORIES, 100)


def test_all_kinds_of_turns_occur_in_every_split() -> None:
    kinds = {e.kind for e in ROWS["base"]}
    assert kinds == {"call", "after_obs", "parallel", "no_tool", "chat", "done"}
    assert all({e.kind for e in rows} == kinds for rows in ROWS.values())


@pytest.mark.parametrize("name", ["original", "coarse", "finegrained", "intermediate"])
def test_gold_answers_reach_the_maximum_of_the_reward(name: str) -> None:
    reward = get_reward(name)
    for example in CLEAN:
        score = reward.score(example.answer, example.answer, step=1)
        calls = "<tool_call>" in example.answer
        assert score.parts["format"].raw == 1.0
        assert score.total == pytest.approx(4.0 if calls else 1.0)


def test_calls_name_a_tool_of_the_prompt_and_exactly_its_parameters() -> None:
    for example in CLEAN:
        tools = prompt_tools(example.system)
        for call in parse_turn(example.answer).calls:
            assert set(call["parameters"]) == tools[call["name"]]


def test_argument_values_stand_in_the_dialogue() -> None:
    for example in CLEAN:
        for call in parse_turn(example.answer).calls:
            assert all(value in example.user for value in call["parameters"].values())


def test_parameter_names_cannot_be_told_without_the_schema() -> None:
    names = Counter(name for e in CLEAN for call in parse_turn(e.answer).calls for name in call["parameters"])
    for slot in (*words.SLOTS.values(), words.REFERENCE):
        assert all(names[alias] for alias in slot.aliases)


def test_no_tool_fits_where_the_answer_is_a_response_to_a_request() -> None:
    for example in CLEAN:
        if example.kind == "no_tool":
            asked = next(
                f"{verb} a {noun}"
                for verb in words.VERBS
                for noun in words.NOUNS
                if f"{verb} a {noun}" in example.user
            )
            assert f"Lets you {asked}." not in example.system


def test_a_dialogue_is_written_as_rlla_writes_it() -> None:
    example = next(e for e in CLEAN if e.kind == "after_obs")
    assert example.system.startswith("You are a helpful multi-turn dialogue assistant")
    assert "\n1. Name: " in example.system and '", "type": "string", "default": ""}' in example.system
    head, call, observation = example.user.partition("</user>\n\n<think> ")
    assert head.startswith("**Dialogue Records History**\n<user> ") and call
    assert "</tool_call>\n<obs> [{" in observation and observation.endswith("}] </obs>")


def test_rough_answers_have_the_stated_habits_and_the_right_answer_is_still_there() -> None:
    gold = {"parallel": 2, "call": 1}
    counts: Counter[tuple[str, bool]] = Counter()
    for example in ROWS["base"]:
        turn = parse_turn(example.answer)
        if example.kind in gold:
            counts[example.kind, len(turn.calls) == gold[example.kind]] += 1
        elif example.kind in ("no_tool", "chat", "done"):
            counts["response", not turn.called] += 1
    rates = toolworld.ROUGHNESS
    for kind, fault in (("parallel", rates.second_call_missing), ("response", rates.stray_call)):
        share = counts[kind, False] / (counts[kind, False] + counts[kind, True])
        assert share == pytest.approx(fault, abs=0.1)


def test_an_unknown_split_and_an_empty_one_are_refused() -> None:
    with pytest.raises(SpecError, match="unknown ToolWorld split 'dev'"):
        toolworld.generate("dev")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="is not positive"):
        toolworld.generate("val", 0, 0)


def test_the_fingerprint_depends_on_the_parameters_and_not_on_their_order() -> None:
    one = toolworld.fingerprint({"seed": 0, "size": 3})
    assert one == toolworld.fingerprint({"size": 3, "seed": 0})
    assert one != toolworld.fingerprint({"seed": 1, "size": 3})


def prompt_tools(system: str) -> dict[str, set[str]]:
    """Tool name → parameter names, read back from a system prompt."""
    body = system.removeprefix(rlla_format.SYSTEM_HEAD).removesuffix(rlla_format.SYSTEM_TAIL)
    tools = {}
    for entry in body.split("\nParameters: ")[:-1]:
        name = entry.rsplit(" Name: ", 1)[1].split("\n")[0]
        tools[name] = set(json.loads(body.split(entry + "\nParameters: ")[1].split("\n")[0]))
    return tools
