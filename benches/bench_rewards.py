"""Speed of `score_many`, side by side with the released scorer, and the worst completion there is.

    python benches/bench_rewards.py --golden ../golden/rewards.jsonl.gz --released .../reward_score/rlla.py

The released scorer is ToolRL's `verl/utils/reward_score/rlla.py` (github.com/qiancheng0/ToolRL, 8cee13e), a
copy of the user's own; its prints go to /dev/null. Both sides score the same rows on one core, in turns, in
one process; the figure of each side is its best round, which is the one that the machine disturbed least.
Without `--golden` the rows are those of the tests. Exit status 1: a bound does not hold, or scores differ.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the generator of hostile text is the tests'
from tests.rewards.golden import OURS
from tests.rewards.strategies import LIMIT, Hostile, hostile
from tests.rewards.turns import call, turn
from toolrl_cli.rewards import Reward, get_reward
from toolrl_cli.rewards.reading import read_truth

ENOUGH, BOUND_MS = 3.0, 50.0
ENVIRONMENT = {
    "equal_max": ("CORRECTMAX1",),
    "two_stage": ("MAX1STEP30MAX3",),
    "dynamic": ("SCHEDULEREWARD",),
    "finegrained": ("REFINEDREWARD",),
    "intermediate": ("INTERMEDIATEREWARD",),
    "coarse": ("COARSEREWARD",),
    "length": ("WITHLENGTH",),
    "length_dynamic": ("WITHLENGTH", "SCHEDULELENGTH"),
}
HOSTILE_DESIGNS = ["original", "finegrained+dynamic+length_dynamic", "intermediate", "coarse"]
HOSTILE_DESIGNS += [f"{name}@paper" for name in HOSTILE_DESIGNS]
GOLD = turn(*(call("f", a=number, b="x") for number in range(8)))  # the golden rows have seven calls at most

Score = Callable[[str, str, int], tuple[float, ...]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--released", type=Path, help="the released scorer's file")
    parser.add_argument("--golden", type=Path, default=OURS, help="rows to score (.jsonl or .jsonl.gz)")
    parser.add_argument("--reward", default="original", help="design to score them with")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--hostile", type=int, default=300, help="hostile texts to generate")
    options = parser.parse_args()
    rows = read_rows(options.golden)
    holds = throughput(rows, options.reward, options.released, options.rounds)
    return 0 if worst_case(options.hostile) and holds else 1


def read_rows(path: Path) -> list[dict[str, Any]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in content.splitlines()]


def throughput(rows: list[dict[str, Any]], name: str, released: Path | None, rounds: int) -> bool:
    """Prints completions a second of both sides; whether ours is `ENOUGH` times as fast and scores alike."""
    reward = get_reward(name)
    sides: dict[str, Callable[[], object]] = {"score_many": lambda: reward.score_many(rows)}
    scorer = released and load_released(released, name)
    if scorer:
        sides["released"] = lambda: [
            scorer(row["completion"], row["ground_truth"], row["step"]) for row in rows
        ]
        with silence():
            theirs = [scorer(row["completion"], row["ground_truth"], row["step"])[0] for row in rows]
        ours = [score.total for score in reward.score_many(rows)]
        apart = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
        print(f"largest difference of a score: {apart:.1e}")
    read_truth.cache_clear()
    first = len(rows) / timed(sides["score_many"])
    best = dict.fromkeys(sides, 0.0)
    for _ in range(rounds):
        for side, work in sides.items():
            best[side] = max(best[side], len(rows) / timed(work))
    print(f"{len(rows)} completions under {name!r}, a second on one core, best of {rounds} rounds:")
    for side, rate in best.items():
        print(f"  {side:<12}{rate:>10,.0f}")
    print(f"  first round, every ground truth read anew: {first:,.0f}")
    if not scorer:
        print("  (no --released: nothing to compare with)")
        return True
    ratio = best["score_many"] / best["released"]
    print(f"  {ratio:.2f} times the released scorer ({ENOUGH:g} wanted)")
    return ratio >= ENOUGH and apart < 1e-9


def load_released(path: Path, name: str) -> Score:
    """The released scorer's function, with the environment that chooses the design there."""
    os.environ["EXPERIMENT_NAME"] = "qwen"
    for part in name.split("+"):
        os.environ.update(dict.fromkeys(ENVIRONMENT.get(part, ()), "1"))
    spec = importlib.util.spec_from_file_location("released_scorer", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    score: Score = module.compute_score
    return score


def timed(work: Callable[[], object]) -> float:
    """Processor seconds of `work`, its prints to /dev/null."""
    with silence():
        began = time.process_time()
        work()
        return time.process_time() - began


@contextlib.contextmanager
def silence() -> Iterator[None]:
    with Path(os.devnull).open("w") as null, contextlib.redirect_stdout(null):
        yield


def worst_case(texts: int) -> bool:
    """Prints the slowest generated hostile completion; whether it is below `BOUND_MS`."""
    rewards = [get_reward(name) for name in HOSTILE_DESIGNS]
    for reward in rewards:  # imports the assignment solver, once for the process
        reward.score(turn(call("f"), call("f")), GOLD, 1, 100)
    worst: list[tuple[float, int, str, Hostile]] = []
    seen = 0

    @seed(20250415)
    @settings(
        max_examples=texts,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(recipe=hostile())
    def measure(recipe: Hostile) -> None:
        nonlocal seen
        seen += 1
        text = recipe.text()
        for reward in rewards:
            worst.append((milliseconds(reward, text), len(text.encode()), reward.name, recipe))
            worst.sort(key=lambda entry: -entry[0])
            del worst[3:]

    measure()
    print(f"slowest of {seen} hostile completions of up to {LIMIT:,} bytes, {len(rewards)} rewards each:")
    for cost, size, name, recipe in worst:
        print(f"  {cost:6.2f} ms  {size:>6,} bytes  {name}  {recipe}")
    print(f"  ({BOUND_MS:g} ms allowed)")
    return worst[0][0] < BOUND_MS


def milliseconds(reward: Reward, text: str) -> float:
    """Processor time of one score, the better of two."""
    costs = []
    for _ in range(2):
        began = time.process_time()
        reward.score(text, GOLD, 5, 100)
        costs.append((time.process_time() - began) * 1000)
    return min(costs)


if __name__ == "__main__":
    raise SystemExit(main())
