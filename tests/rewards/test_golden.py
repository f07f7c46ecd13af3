"""Parity with the released scorer, to 1e-9 on every part."""

from __future__ import annotations

import pytest

from tests.rewards.golden import golden_rows
from tests.rewards.turns import GOLD, ROLLOUTS, call, turn
from toolrl_cli.rewards import get_reward

CLOSE = 1e-9

# Printed table of facts: format / correctness [/ length] of each rollout, by running the released scorer.
TABLE = {
    "exact": "1/3 1/3 1/3 1/3 1/1 1/1 0.5/3 2/2 1.5/2.5 1.3/2.7 1/3/0",
    "figure 3, rollout 1": (
        "1/1.7143 1/1.2857 1/1 1/-3 1/0.5714 1/0.5714 0.5/1.7143 2/1.1429 1.5/1.4286 1.3/1.5429 1/1.7143/0"
    ),
    "figure 3, rollout 2": (
        "1/-1 1/-1.2857 1/-0.3333 1/-3 1/-0.3333 1/-0.3333 0.5/-1 2/-0.6667 1.5/-0.8333 1.3/-0.9 1/-1/0"
    ),
    "swapped order": "1/3 1/3 1/3 1/-3 1/1 1/1 0.5/3 2/2 1.5/2.5 1.3/2.7 1/3/0",
    "one extra call": (
        "1/2.7143 1/2.1429 1/2.3333 1/-3 1/0.9048 1/0.9048 0.5/2.7143 2/1.8095 1.5/2.2619 1.3/2.4429 1/2.7143/0"
    ),
    "exact call, no think": "0/3 0/3 0/3 0/3 0/1 0/1 0/3 -2/2 -1/2.5 -1/2.7 0/3/0",
    "response only": "0/-3 0/-3 0/-3 0/-3 0/-1 0/-1 0/-3 -2/-2 -1/-2.5 -1/-2.7 0/-3/0",
}
COLUMNS = [
    ("original", 0),
    ("finegrained", 0),
    ("intermediate", 0),
    ("coarse", 0),
    ("equal_max", 0),
    ("two_stage", 0),
    ("two_stage", 30),
    ("dynamic", 0),
    ("dynamic", 75),
    ("dynamic", 105),
    ("length", 0),
]


@pytest.mark.parametrize("rollout", TABLE)
@pytest.mark.parametrize("column", range(len(COLUMNS)), ids=lambda i: "{}@{}".format(*COLUMNS[i]))
def test_released_scores_are_those_of_the_printed_table(rollout: str, column: int) -> None:
    name, step = COLUMNS[column]
    expected = [float(value) for value in TABLE[rollout].split()[column].split("/")]
    score = get_reward(name).score(ROLLOUTS[rollout], GOLD, step)
    assert [part.weighted for part in score.parts.values()] == pytest.approx(expected, abs=5e-5)


def test_every_part_equals_the_released_scorer_on_every_golden_row() -> None:
    rows = golden_rows()
    assert len({row["variant"] for row in rows}) >= 40
    wrong = []
    for row in rows:
        score = get_reward(row["variant"]).score(row["completion"], row["ground_truth"], row["step"])
        parts = {name: part.weighted for name, part in score.parts.items()}
        got = (parts["format"], parts["correctness"], parts.get("length", 0.0), score.total)
        want = (row["format"], row["correctness"], row["length"], row["score"])
        if any(abs(a - b) > CLOSE for a, b in zip(got, want, strict=True)):
            wrong.append((row["variant"], row["step"], row["completion"], got, want))
    assert not wrong, f"{len(wrong)} of {len(rows)}, the first: {wrong[0]}"


LLAMA = {"<|im_start|>assistant": "<|start_header_id|>assistant<|end_header_id|>", "<|im_end|>": "<|eot_id|>"}


def test_a_turn_in_llamas_template_earns_what_it_earns_in_chatml() -> None:
    """The released scorer cuts a sequence at the marks of the run's model, and scores what is left alike."""
    for row in golden_rows():
        text = row["completion"]
        for chatml, llama in LLAMA.items():
            text = text.replace(chatml, llama)
        if "<|im_" not in text:  # marks that ChatML does not cut at, either
            score = get_reward(row["variant"]).score(
                f"{text}\n<|eot_id|>rest", row["ground_truth"], row["step"]
            )
            assert score.total == pytest.approx(row["score"], abs=CLOSE), text
    whole = f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>{LLAMA['<|im_start|>assistant']}"
    assert get_reward("original").score(f"{whole}\n\n{GOLD}<|eot_id|>", GOLD).total == 4


def test_a_batch_scores_as_its_rows_do_one_by_one() -> None:
    rows = golden_rows()[:200]
    reward = get_reward("finegrained+dynamic+length")
    one_by_one = [reward.score(row["completion"], row["ground_truth"], row["step"]) for row in rows]
    assert reward.score_many(rows) == one_by_one


def test_where_only_a_response_is_wanted_correctness_is_nought_and_a_call_costs_the_format() -> None:
    gold = turn(response="ok")
    answered, called = (get_reward("original").score(text, gold) for text in (gold, GOLD))
    assert [part.weighted for part in answered.parts.values()] == [1, 0]
    assert [part.weighted for part in called.parts.values()] == [0, 0]


@pytest.mark.parametrize(
    ("name", "correctness"),
    [("original", 3.0), ("intermediate", 3.0), ("finegrained", 1.8), ("coarse", -3.0)],
)
def test_swapping_two_calls_of_different_names_costs_what_the_released_scorer_takes(
    name: str, correctness: float
) -> None:
    first, second = call("Get_Flight", a=1), call("Get_Price", b=2)
    score = get_reward(name).score(turn(second, first), turn(first, second))
    assert score.parts["correctness"].weighted == pytest.approx(correctness)


@pytest.mark.parametrize(
    ("rollout", "correctness"), [("figure 3, rollout 1", 12 / 7), ("figure 3, rollout 2", -1 / 7)]
)
def test_paper_fidelity_gives_the_numbers_of_figure_3(rollout: str, correctness: float) -> None:
    score = get_reward({"name": "original", "fidelity": "paper"}).score(ROLLOUTS[rollout], GOLD)
    assert score.parts["correctness"].weighted == pytest.approx(correctness, abs=1e-12)
