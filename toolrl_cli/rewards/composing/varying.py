"""Whether a reward tells answers apart at all, as far as ranges, weights and the clamp say."""

from __future__ import annotations

from toolrl_cli.rewards.reward import Reward
from toolrl_cli.rewards.stretch import schedule_steps


def constant_total(reward: Reward, total_steps: int) -> str | None:
    """Why every answer earns the same at every step of a run, in one clause; None where some may earn more.

    Args:
        reward: any reward.
        total_steps: length of the run, in steps.
    """
    steps = schedule_steps(reward, total_steps)
    totals = [reward.total_range(step, total_steps) for step in steps]
    if any(low < high for low, high in totals):
        return None
    spans = [reward.part_ranges(step, total_steps).values() for step in steps]
    low, high = min(sum(s[0] for s in span) for span in spans), max(sum(s[1] for s in span) for span in spans)
    if reward.clamp is not None and low < high:
        return f"clamp [{reward.clamp[0]:g}, {reward.clamp[1]:g}] leaves one value of {low:g} to {high:g}"
    return f"its parts add up to {totals[0][0]:g} whatever the answer"


def constant_parts(reward: Reward, total_steps: int) -> list[str]:
    """Names of parts that have a weight at some step and give every answer the same at every one."""
    steps = schedule_steps(reward, total_steps)
    ranges = [reward.part_ranges(step, total_steps) for step in steps]
    return [
        part.name
        for part in reward.components
        if any(part.weight_at(step, total_steps) for step in steps)
        and all(low == high for low, high in (each[part.name] for each in ranges))
    ]
