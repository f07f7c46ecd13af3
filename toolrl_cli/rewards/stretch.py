"""Adapts a reward to a run of another length: a change at step 30 of 105 moves to step 7 of 25."""

from __future__ import annotations

from dataclasses import replace

from toolrl_cli.rewards.components import Component, Length
from toolrl_cli.rewards.reward import Reward
from toolrl_cli.rewards.schedule import Schedule


def stretched(reward: Reward, steps_before: int, steps_after: int) -> Reward:
    """The reward with all schedules that count in steps rescaled to a run of another length.

    Args:
        reward: any reward; one without such a schedule is returned unchanged.
        steps_before: length of the run that it was written for, in steps.
        steps_after: length of the new run, in steps.

    Returns:
        The reward; if something changed, its name is `<name>-<steps_after>-steps`.
    """
    if steps_before == steps_after:
        return reward
    factor = steps_after / steps_before
    components = tuple(_stretched(component, factor) for component in reward.components)
    if components == reward.components:
        return reward
    return Reward(components, reward.fidelity, f"{reward.name}-{steps_after}-steps")


def _stretched(component: Component, factor: float) -> Component:
    if isinstance(component.weight, Schedule):
        component = replace(component, weight=_moved(component.weight, factor))
    if component.range_schedule is not None:
        component = replace(component, range_schedule=_moved(component.range_schedule, factor))
    if isinstance(component, Length) and isinstance(component.target, Schedule):
        component = replace(component, target=_moved(component.target, factor))
    return component


def _moved(schedule: Schedule, factor: float) -> Schedule:
    """The schedule with its points at rounded steps at least one apart; shares of the run stay as they are."""
    if schedule.unit != "steps":
        return schedule
    points: list[tuple[float, tuple[float, ...]]] = []
    for position, values in schedule.points:
        moved = round(position * factor)
        points.append((max(moved, points[-1][0] + 1) if points else moved, values))
    return replace(schedule, points=tuple(points))
