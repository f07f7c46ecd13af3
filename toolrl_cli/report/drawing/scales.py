"""The ranges of rewards, so that arms with different rewards never share an axis unsaid.

Where the arms of a panel have one design and one range at every step, the axis is in its units, and says both its
ends. Where designs differ, or a schedule gives arms of unlike lengths other ranges at one step, each value is a
percentage of the way from the least to the most that its own reward can give at that step.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from toolrl_cli.report.drawing.panels import WHOLE, Panel
from toolrl_cli.report.sources.results import Stage, short_name
from toolrl_cli.rewards import Reward, RewardError, get_reward
from toolrl_cli.spec.identity import canonical_json

Span = tuple[float, float]
UNLIKE = "Rewards differ between arms, so that the level of one is not that of another."
STRETCHED = (
    "The reward changes over training and the arms train for unlike numbers of steps, so that the level of one is not "
    "that of another at the same step."
)
OWN = "Their curves are in percent of the way from the least to the most that each can give at that step:"


def on_one_axis(panel: Panel, stages: Sequence[Stage]) -> Panel:
    """A panel of rewards with its unit, its scale and what has to be said of it.

    Args:
        stages: the RL stages that have a line in it; those of one reward are looked at once.
    """
    stages = list({_config(stage): stage for stage in stages}.values())
    spans = [_first_and_last(stage, panel.part) for stage in stages]
    designs = {_design(stage, panel.part) for stage in stages}
    if len(designs) < 2 and _one_range_a_step(stages, panel.part):
        longest = max(stages, key=lambda stage: stage.spec.total_steps or 0, default=None)
        first, last = (longest and _first_and_last(longest, panel.part)) or (None, None)
        if first is None or last is None:
            return panel
        if first == last:
            return replace(panel, unit=f"{panel.unit}, {shown(first)}")
        return replace(panel, notes=(f"{panel.part}: {shown(first)} at first, {shown(last)} at the end.",))
    why = UNLIKE if len(designs) > 1 else STRETCHED
    unknown = _names([s for s, span in zip(stages, spans, strict=True) if span is None])
    if unknown:
        told = f"{panel.part}: no common scale, because the range of {', '.join(unknown)} is unknown."
        return replace(panel, unit=f"{panel.unit}, own units", notes=(why, told))
    told = f"{panel.part}: {_ranges(stages, panel.part)}."
    return replace(panel, unit="% of own range", scaled=True, limits=(0.0, 100.0), notes=(why, OWN, told))


def scaled(series: Mapping[int, float], stage: Stage, part: str) -> dict[int, float]:
    """Each value as a percentage of the way up the range that its reward has at that step."""
    spans = spans_of(stage, part)
    known = {step: spans[min(step, len(spans) - 1)] for step in series}
    return {
        step: 100 * (value - span[0]) / (span[1] - span[0])
        for step, value in series.items()
        if (span := known[step]) is not None
    }


def spans_of(stage: Stage, part: str) -> tuple[Span | None, ...]:
    """[least, most] of a part of a stage's reward at every step from 0 on.

    None where it is unknown, infinite or a single value.
    """
    return _spans(_config(stage)[0], part, stage.spec.total_steps)


def _one_range_a_step(stages: Sequence[Stage], part: str) -> bool:
    """Whether the ranges of all are equal at each step that all have."""
    paths = [spans_of(stage, part) for stage in stages]
    common = min((len(path) for path in paths), default=0)
    return len({path[:common] for path in paths}) < 2


def _config(stage: Stage) -> tuple[str, int | None]:
    """What a stage's ranges follow from: its reward and its number of steps."""
    return canonical_json(stage.spec.config.get("reward") or {}), stage.spec.total_steps


def shown(span: Span) -> str:
    """`-3 to 4`."""
    return " to ".join(f"{end:.3g}".replace("-", "−") for end in span)


def _first_and_last(stage: Stage, part: str) -> tuple[Span, Span] | None:
    spans = [span for span in spans_of(stage, part) if span is not None]
    return (spans[0], spans[-1]) if len(spans) == len(spans_of(stage, part)) else None


@lru_cache(maxsize=256)
def _spans(reward: str, part: str, total: int | None) -> tuple[Span | None, ...]:
    found = _reward(reward)
    return tuple(
        None if found is None else _span(found, part, step, total) for step in range((total or 0) + 1)
    )


def _span(reward: Reward, part: str, step: int, total: int | None) -> Span | None:
    try:
        parts = reward.part_ranges(step, total)
        low, high = reward.total_range(step, total) if part == WHOLE else parts.get(part, (0.0, 0.0))
    except RewardError:
        return None
    return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None


@lru_cache(maxsize=256)
def _reward(text: str) -> Reward | None:
    try:
        return get_reward(json.loads(text))
    except RewardError:  # a user's file that has gone or changed, or a design of another version
        return None


def _design(stage: Stage, part: str) -> str:
    """What decides the values of a part, as text; equal for equal designs whatever their names."""
    config: Any = stage.spec.config.get("reward") or {}
    reward = _reward(canonical_json(config))
    if reward is None:
        return canonical_json(config)
    whole = reward.identity()
    return canonical_json(whole if part == WHOLE else [whole["components"].get(part), whole["fidelity"]])


def _names(stages: Sequence[Stage]) -> list[str]:
    return list(dict.fromkeys(short_name(stage.spec.config.get("reward")) for stage in stages))


def _ranges(stages: Sequence[Stage], part: str) -> str:
    """`−3 to 4 (original, coarse); 0 to 1 (dynamic, at the end −3 to 4)`."""
    by_range: dict[str, list[Stage]] = {}
    for stage in stages:
        first, last = _first_and_last(stage, part) or ((0.0, 0.0), (0.0, 0.0))
        told = shown(first) if first == last else f"{shown(first)} at first and {shown(last)} at the end"
        by_range.setdefault(told, []).append(stage)
    return "; ".join(f"{told} ({', '.join(_names(of))})" for told, of in by_range.items())
