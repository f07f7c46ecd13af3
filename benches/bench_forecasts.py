"""Whether what is said of reward designs before training ranks them as training does.

    python benches/bench_forecasts.py [--results DIR] [--write]

Trains `sweeps/reward_designs.yaml` (14 designs × 3 seeds, half an hour on two CPU cores; `--results` keeps the runs,
and goes on with those that are there), and ranks the designs by their mean share of ToolWorld's turns answered exactly
right. Beside it stand the forecasts of `toolrl reward compare` (gold answers with one mistake each) and of
`toolrl rescore` (responses of the untrained model, at the first step of every run). A forecast is worth as much as its
rank correlation with the outcome; how well one seed's ranks agree with those of the others says how much noise bounds
it. `--write` puts the table into benches/results/forecasts.md. Nothing is judged: it is reported as it comes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test, spearmanr

from toolrl_cli import api
from toolrl_cli.datasets.prepare import first_rows
from toolrl_cli.log import on_stderr
from toolrl_cli.report.statistics.basics import holm
from toolrl_cli.rewards import Reward, get_reward
from toolrl_cli.rewards.comparing.compare import Profile, profile
from toolrl_cli.rewards.comparing.rescore import ArmStatistics, Rollout, rescore
from toolrl_cli.rewards.reading import row_facts
from toolrl_cli.training.rollout_dumps import read_stage

ROOT = Path(__file__).resolve().parents[1]
SWEEP = ROOT / "sweeps/reward_designs.yaml"
RESULTS = ROOT / "benches/results/forecasts.md"
ROWS = 100
BOOTSTRAP = 5000

Floats = NDArray[np.float64]
Scores = Mapping[str, Sequence[float]]
"""Arm → a score for each seed."""


@dataclass(frozen=True)
class Forecast:
    """One number a design, known before it is trained with.

    Attributes:
        name: what it is.
        sign: 1 where more of it should train better, -1 where less should.
        values: arm → number; missing where it is not defined.
    """

    name: str
    sign: int
    values: Mapping[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--write", action="store_true")
    own = parser.parse_args()
    with on_stderr("toolrl: "), tempfile.TemporaryDirectory(prefix="toolrl-forecasts-") as made:
        root = own.results or Path(made)
        started = time.monotonic()
        planned = api.plan(SWEEP, results=root)
        outcome = api.run(planned, wandb="disabled")
        if not outcome.ok:
            print("\n".join(outcome.failures), file=sys.stderr)
            return 1
        minutes = (time.monotonic() - started) / 60
        scores = trained(root)
        rewards = rewards_of(planned)
        forecasts = [*of_mutations(rewards), *of_rollouts(rewards, root)]
    text = table(scores, forecasts, minutes)
    print(text)
    if own.write:
        RESULTS.write_text(text)
    return 0


def rewards_of(planned: api.SweepPlan) -> dict[str, Reward]:
    """The reward of each arm."""
    stages = {run.arm: stage for run in planned.runs for stage in run.stages if stage.kind == "rl"}
    return {arm: get_reward(dict(stage.config["reward"])) for arm, stage in stages.items()}


def trained(root: Path) -> Scores:
    """Share of all turns answered exactly right, of each arm and seed."""
    frame = api.results(root)
    overall = frame[(frame["benchmark"] == "toolworld") & (frame["column"] == "overall") & ~frame["point"]]
    assert not overall["value"].isna().any(), "a run has no score"
    return {str(arm): list(each.sort_values("seed")["value"]) for arm, each in overall.groupby("arm")}


def of_mutations(rewards: Mapping[str, Reward]) -> list[Forecast]:
    """From gold answers of the validation rows, and their changes (`toolrl reward compare`)."""
    rows = first_rows("toolworld", {}, "val", ROWS)
    golds = [(str(row["reward_model"]["ground_truth"]), row_facts(row)) for row in rows]
    found = {arm: profile(reward, golds, total_steps=100) for arm, reward in rewards.items()}
    return [
        Forecast("kinds of wrong answers that earn as much as the gold one", -1, blind(found)),
        Forecast("different totals", 1, {arm: float(p.values) for arm, p in found.items()}),
        Forecast("groups of mutations without gradient", -1, {a: p.no_gradient for a, p in found.items()}),
    ]


def blind(profiles: Mapping[str, Profile]) -> dict[str, float]:
    """How many there are of each."""
    return {arm: float(len(found.blind)) for arm, found in profiles.items()}


def of_rollouts(rewards: Mapping[str, Reward], root: Path) -> list[Forecast]:
    """From what the untrained model answers at the first step of all runs (`toolrl rescore`)."""
    rollouts: list[Rollout] = []
    for stage in sorted((root / "stages/rl").iterdir()):
        found = read_stage(stage, stage.name).rollouts
        first = min(rollout.step for rollout in found)
        rollouts += [
            Rollout(r.completion, r.ground_truth, f"{stage.name} {r.group}", first, tokens=r.tokens)
            for r in found
            if r.step == first
        ]
    arms: dict[str, ArmStatistics] = {}
    for arm, reward in rewards.items():
        (arms[arm],) = rescore(rollouts, [reward], 100).arms
    return [
        Forecast(
            "groups of rollouts without gradient",
            -1,
            {a: s.zero_variance for a, s in arms.items() if s.zero_variance is not None},
        ),
        Forecast(
            "chance that an exact answer outscores another of its group",
            1,
            {a: s.exact_auc for a, s in arms.items() if s.exact_auc is not None},
        ),
        Forecast(
            "rank correlation of total and exactness",
            1,
            {a: s.exact_rank for a, s in arms.items() if s.exact_rank is not None},
        ),
    ]


def correlation(a: Floats, b: Floats) -> float:
    """Spearman's; NaN where either is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def p_value(a: Floats, b: Floats) -> float:
    """Chance of a correlation as far from 0, whichever way, if the ranks had nothing to do with each other."""
    found = permutation_test(
        (a,),
        lambda x: correlation(x, b),
        permutation_type="pairings",
        n_resamples=20_000,
        rng=np.random.default_rng(0),
        vectorized=False,
    )
    return float(found.pvalue)


def interval(values: Mapping[str, float], scores: Scores) -> tuple[float, float]:
    """95 % of the correlation over resampled designs, and resampled seeds of each (percentiles)."""
    rng, arms = np.random.default_rng(0), sorted(values)
    draws = []
    for _ in range(BOOTSTRAP):
        chosen = [arms[n] for n in rng.integers(len(arms), size=len(arms))]
        outcome = [float(np.mean(rng.choice(scores[arm], len(scores[arm])))) for arm in chosen]
        draws.append(correlation(np.array([values[arm] for arm in chosen]), np.array(outcome)))
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return float(low), float(high)


def agreement(scores: Scores) -> float:
    """Mean rank correlation of one seed's scores with the mean of the others'."""
    values = np.array([scores[arm] for arm in sorted(scores)])
    seeds = values.shape[1]
    others = [np.delete(values, n, axis=1).mean(axis=1) for n in range(seeds)]
    return float(np.mean([correlation(values[:, n], others[n]) for n in range(seeds)]))


def table(scores: Scores, forecasts: Sequence[Forecast], minutes: float) -> str:
    """Both tables, as Markdown."""
    means = {arm: float(np.mean(values)) for arm, values in scores.items()}
    order = sorted(means, key=lambda arm: -means[arm])
    took = f" ({minutes:.0f} min)" if minutes >= 1 else ""  # else they were there before
    lines = [
        "# Do forecasts rank designs as training does?",
        "",
        f"`python benches/bench_forecasts.py --write`: {len(scores)} designs × {len(scores[order[0]])} seeds of "
        f"`sweeps/reward_designs.yaml`{took}. Outcome: mean share of ToolWorld's turns answered exactly right.",
        "",
        f"One seed's ranks agree with the mean of the others' at {agreement(scores):.2f} (Spearman): the noise "
        "between seeds bounds what any forecast can reach.",
        "",
        "| | Forecast | Should be | Spearman | 95 % | p | Holm | Designs |",
        "|--:|:--|:--|--:|:--|--:|--:|--:|",
    ]
    told = [_of(forecast, scores) for forecast in forecasts]
    adjusted = holm([p for _, _, p, _ in told])
    rows = zip(forecasts, told, adjusted, strict=True)
    for number, (forecast, (value, (low, high), p, count), corrected) in enumerate(rows, start=1):
        wanted = "above 0" if forecast.sign > 0 else "below 0"
        told_of = f"{value:.2f} | {low:.2f} to {high:.2f} | {p:.3f} | {corrected:.3f} | {count}"
        lines.append(f"| {number} | {forecast.name} | {wanted} | {told_of} |")
    numbers = " | ".join(str(number) for number in range(1, len(forecasts) + 1))
    lines += ["", f"| Design | Exactly right | Seeds | {numbers} |"]
    lines += ["|:--|--:|:--|" + "--:|" * len(forecasts)]
    for arm in order:
        seeds = ", ".join(f"{100 * value:.1f}" for value in scores[arm])
        numbers = " | ".join(f"{f.values[arm]:.3g}" if arm in f.values else "" for f in forecasts)
        lines.append(f"| {arm} | {100 * means[arm]:.1f} | {seeds} | {numbers} |")
    return "\n".join(lines) + "\n"


def _of(forecast: Forecast, scores: Scores) -> tuple[float, tuple[float, float], float, int]:
    arms = sorted(forecast.values)
    a = np.array([forecast.values[arm] for arm in arms])
    b = np.array([float(np.mean(scores[arm])) for arm in arms])
    value = correlation(a, b)
    if np.isnan(value):
        return value, (value, value), 1.0, len(arms)
    return value, interval(forecast.values, scores), p_value(a, b), len(arms)


if __name__ == "__main__":
    sys.exit(main())
