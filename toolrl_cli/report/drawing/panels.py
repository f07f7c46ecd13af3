"""What the small plots of curves show: which metrics, in which unit, and on which scale."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE = "total"
"""The part that stands for the sum of all parts of a reward."""


@dataclass(frozen=True)
class Panel:
    """One small plot: title, unit and candidate metrics, of which the first that an arm has is shown.

    With a benchmark's name it shows the scores of models on the way instead (`scored_steps`), and with `answers`
    the exact match of validation answers.

    Attributes:
        part: of the reward: its name, or `total`; empty for other metrics.
        scaled: each value is a percentage of the range of its arm's reward (see `scales`).
        limits: least and most that a value can be; intervals are cut there.
        notes: what has to be said of its scale.
    """

    title: str
    unit: str
    metrics: tuple[str, ...]
    sparse: bool = False
    benchmark: str = ""
    answers: bool = False
    part: str = ""
    scaled: bool = False
    limits: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


SHARES = (0.0, 100.0)
EXACT = Panel("Exact match", "% of validation answers", (), sparse=True, answers=True, limits=SHARES)
TOTAL = Panel("Total reward", "reward", ("reward/total/mean", "critic/score/mean"), part=WHOLE)
LENGTH = Panel("Response length", "tokens", ("response_length/mean",))
VALIDATION = Panel("Validation reward", "reward", ("val-reward/total/mean",), sparse=True, part=WHOLE)
TRAINING = (
    Panel("Prompts without a gradient", "share, all alike", ("reward/total/alike",), limits=(0.0, 1.0)),
    Panel("Responses cut at the limit", "share", ("response_length/clip_ratio",), limits=(0.0, 1.0)),
    Panel("Prompt length", "tokens", ("prompt_length/mean",)),
    Panel("Policy loss", "loss", ("actor/pg_loss", "actor/loss")),
    Panel("Value loss", "loss", ("critic/vf_loss",)),
    Panel("KL to the reference", "nats a token", ("actor/kl_loss", "actor/reward_kl_penalty")),
    Panel("KL of one update", "nats a token", ("actor/ppo_kl",)),
    Panel("Entropy", "nats a token", ("actor/entropy",)),
    Panel("Gradient norm", "norm before clipping", ("actor/grad_norm",)),
    Panel("Clipped tokens", "share", ("actor/pg_clipfrac",), limits=(0.0, 1.0)),
    Panel("Time of a step", "seconds", ("timing_s/step", "perf/time_per_step")),
)
"""How the optimiser fares; on the page alone."""

LOGGED = frozenset(metric for panel in (TOTAL, LENGTH, *TRAINING) for metric in panel.metrics)


def scores(benchmark: str) -> Panel:
    """The panel of a benchmark's scores of models on the way."""
    unit = "% of items"
    return Panel(f"{benchmark} score", unit, (), sparse=True, benchmark=benchmark, limits=SHARES)


def beside_panel(part: str, key: str) -> Panel:
    """The panel of a number that a part's function returned beside its value."""
    return Panel(
        f"{part[:1].upper()}{part[1:]}: {key}".replace("_", " "), "mean", (f"reward/{part}/{key}/mean",)
    )


def part_panel(part: str, raw: bool = False) -> Panel:
    """The panel of one part of the reward, with its weight or without."""
    title = f"{part[:1].upper()}{part[1:].replace('_', ' ')} reward"
    metrics = (f"reward/{part}/{'raw' if raw else 'weighted'}/mean",)
    return Panel(title, "reward" if not raw else "reward before weight", metrics, part="" if raw else part)
