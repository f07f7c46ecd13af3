"""Adapts a reward to a run of another length: a change at step 30 of 105 moves to step 7 of 25."""

from __future__ import annotations

import math
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


def still_ahead(reward: Reward, last: int, total_steps: int | None = None) -> tuple[int, ...]:
    """The steps after `last` at which a schedule of the reward has its points: what has not changed by then.

    Args:
        reward: any reward.
        last: the last step that is looked at.
        total_steps: length of the run, in steps; without it schedules over a share of the run are left out.

    Returns:
        Ascending, each once; empty where every schedule is over, and for a reward without one.
    """
    found = set()
    for schedule in (known for component in reward.components for known in _schedules(component).values()):
        length = 1 if schedule.unit == "steps" else total_steps or 0
        found |= {math.ceil(position * length) for position, _ in schedule.points if position * length > last}
    return tuple(sorted(found))


def unfinished(reward: Reward, total_steps: int) -> list[tuple[str, Schedule]]:
    """The schedules with a change that a run never comes to, each by its part and key, such as `format.weight`.

    That is a step behind its end, a ramp that begins there, and one of which it goes through less than half: the
    released `dynamic` ends at step 150 of a run of 105. One without an end (`extrapolate`) is none.

    Args:
        reward: any reward.
        total_steps: length of the run, in steps.
    """

    def ends_before(schedule: Schedule) -> bool:
        if schedule.unit != "steps" or schedule.extrapolate or len(schedule.points) < 2:
            return False
        first, before, last = (schedule.points[n][0] for n in (0, -2, -1))
        if schedule.kind == "step":
            return last > total_steps
        return total_steps <= before or total_steps < (first + last) / 2

    return [
        (f"{component.name}.{key}", schedule)
        for component in reward.components
        for key, schedule in _schedules(component).items()
        if ends_before(schedule)
    ]


def schedule_steps(reward: Reward, total_steps: int | None = None) -> list[int]:
    """The first step of training, those at which a schedule has a point, and the last where there is a schedule.

    Args:
        reward: any reward.
        total_steps: length of the run, in steps; without it no point in shares of a run is looked at.
    """
    known = [each for part in reward.components for each in _schedules(part).values()]
    lengths = {"steps": 1, "share": total_steps or 0}
    points = {math.ceil(at * lengths[schedule.unit]) for schedule in known for at, _ in schedule.points}
    steps = sorted({1, *points, *((total_steps,) if known and total_steps else ())})
    return [step for step in steps if 1 <= step <= (total_steps or step)]


def turning_steps(reward: Reward, total_steps: int | None = None) -> tuple[int, ...]:
    """Steps of training that between them see every sign that a part's weight takes, and every range at its points.

    Between two points a value only moves from one to the other. A step whose signs and ranges an earlier one has is
    left out: a completion that is the best there is at one is so at the other.

    Args:
        reward: any reward.
        total_steps: length of the run, in steps; without it no point in shares of a run is looked at.

    Returns:
        Ascending, the first is 1.

    Raises:
        RewardError: a schedule lacks `total_steps`.
    """
    looked: dict[tuple[tuple[float, float, float], ...], int] = {}
    for step in schedule_steps(reward, total_steps):
        judged = []
        for part in reward.components:
            weight = part.weight_at(step, total_steps)
            judged.append((math.copysign(1, weight) if weight else 0.0, *part.range_at(step, total_steps)))
        looked.setdefault(tuple(judged), step)
    return tuple(looked.values())


def _schedules(component: Component) -> dict[str, Schedule]:
    target = component.target if isinstance(component, Length) else None
    changing = {"weight": component.weight, "schedule": component.range_schedule, "target": target}
    return {key: schedule for key, schedule in changing.items() if isinstance(schedule, Schedule)}
