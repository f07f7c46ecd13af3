"""Text that was made to hurt: 64 KB of it takes no longer than 50 ms and raises nothing."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given, settings

from tests.rewards.strategies import FRAME, LIMIT, Hostile, hostile
from tests.rewards.turns import call, turn
from toolrl_cli.rewards import Reward, get_reward

BOUND = 0.050 if sys.gettrace() is None else 0.500  # a tracer slows every line
DESIGNS = [
    "original",
    "finegrained+dynamic+length_dynamic",
    "intermediate",
    "original@paper",
    "finegrained@paper",
]
GOLD = turn(*(call("f", a=number, b="x") for number in range(8)))


@pytest.fixture(scope="module", autouse=True)
def _solver_imported() -> None:
    """The first use of the assignment solver imports scipy: a cost of the process and not of a completion."""
    get_reward("original@paper").score(turn(call("f"), call("f")), GOLD)


def cost(reward: Reward, text: str) -> float:
    """Processor seconds of one score; the best of up to ten, because this machine is shared."""
    costs = []
    for _ in range(10):
        began = time.process_time()
        reward.score(text, GOLD, 5, 100)
        costs.append(time.process_time() - began)
        if costs[-1] < BOUND:
            break
    return min(costs)


def filled(unit: str) -> str:
    room = LIMIT - len(FRAME[0]) - len(FRAME[1])
    return FRAME[0] + (unit * (room // len(unit))) + FRAME[1]


TRAPS = {
    "nested brackets": filled("["),
    "nested objects": filled('{"a":'),
    "10,000 open tags": "<tool_call>" * 5_900,
    "open thoughts": "<think>" * 9_300,
    "almost the format": "<think>" + "</think>\n<tool_call>" * 3_200,
    "almost the end": FRAME[0] + "\n</tool_call>\n<response" * 2_600,
    "a huge integer": filled("9"),
    "a huge fraction": FRAME[0] + '{"name": "f", "parameters": {"a": 0.' + "0" * 60_000 + "1}}" + FRAME[1],
    "a huge exponent": FRAME[0] + '{"name": "f", "parameters": {"a": 1e' + "9" * 60_000 + "}}" + FRAME[1],
    "largest integers": filled("9" * 4300 + "\n"),
    "deep lines": filled("[" * 900 + "]" * 900 + "\n"),
    "many equal calls": filled('{"name":"f","parameters":{}}\n'),
    "colliding names": filled(
        "".join(f'{{"name":{k * (2**61 - 1)},"parameters":{{}}}}\n' for k in range(1_200))
    ),
    "one call of many keys": FRAME[0]
    + '{"name":"f","parameters":{'
    + ",".join(f'"{key}":1' for key in range(6_000))
    + "}}"
    + FRAME[1],
    "empty lines": FRAME[0] + "\n" * 60_000 + "x" + FRAME[1],
    "words": "<think>" + "a " * 32_000 + "</think>",
    "turn starts": "<|im_start|>assistant" * 3_000,
}


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_costs_less_than_the_bound(trap: str, design: str) -> None:
    assert len(TRAPS[trap]) <= LIMIT
    assert cost(get_reward(design), TRAPS[trap]) < BOUND


@settings(deadline=None, max_examples=50)
@given(recipe=hostile())
def test_generated_hostile_text_costs_less_than_the_bound(recipe: Hostile) -> None:
    text = recipe.text()
    assert len(text.encode()) <= LIMIT
    for design in DESIGNS:
        assert cost(get_reward(design), text) < BOUND
