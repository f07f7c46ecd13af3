"""What a run's settings say and it never comes to: changes of its reward behind its end, a part of it that always earns
the same, the end of a warm-up, a second checkpoint to choose from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from toolrl_cli.rewards import get_reward
from toolrl_cli.rewards.composing.varying import constant_parts
from toolrl_cli.rewards.stretch import unfinished
from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.evaluations.over_steps import best_candidates
from toolrl_cli.spec.identity import canonical_json

if TYPE_CHECKING:
    from toolrl_cli.spec.run.run_spec import RunSpec


@dataclass(frozen=True)
class Unreached:
    """What a run does not come to.

    Attributes:
        setting: dotted.
        what: in one clause.
    """

    setting: str
    what: str


def unreached(run: RunSpec) -> Iterator[Unreached]:
    """What a run's settings say, and its steps never come to; nothing of a rehearsal, which is short by design."""
    if run.rehearsal:
        return
    if "sft" in run.train and run.sft.warmup == 1:
        yield Unreached("sft.warmup", "the learning rate rises over all steps, and never gets to sft.lr")
    if "rl" not in run.train:
        return
    steps = run.rl.steps
    yield from _of_reward(canonical_json(run.reward), steps)
    if run.rl.warmup_steps >= steps:
        what = f"the learning rate rises over {run.rl.warmup_steps} steps, and the run has {steps} (rl.steps)"
        yield Unreached("rl.warmup_steps", f"{what}: it never gets to rl.lr")
    if ALGORITHMS[run.algorithm].critic and run.rl.critic_warmup > steps:  # verl trains the policy from it on
        what = (
            f"only the critic learns before step {run.rl.critic_warmup}, and the run has {steps} (rl.steps)"
        )
        yield Unreached("rl.critic_warmup", f"{what}: the policy is never trained")
    if run.checkpoint == "best" and len(best_candidates(run.rl, run.rl.save_every)) == 1:
        every = f"rl.save_every: {run.rl.save_every}, rl.validate_every: {run.rl.validate_every}"
        yield Unreached(
            "checkpoint", f"best is last: no step before {steps} is both saved and validated ({every})"
        )


@lru_cache(maxsize=256)  # the cells of a grid share few rewards
def _of_reward(reward_json: str, steps: int) -> tuple[Unreached, ...]:
    """What a reward says and a run of so many steps never comes to."""
    reward, found = get_reward(json.loads(reward_json)), []
    for name in constant_parts(reward, steps):
        what = "earns the same whatever the answer (its range, or what it counts)"
        found.append(Unreached(f"reward.components.{name}", what))
    ends: dict[str, list[str]] = {}
    for part, schedule in unfinished(reward, steps):
        until = "at" if schedule.kind == "step" else "until"
        ends.setdefault(f"{until} step {schedule.points[-1][0]:g}", []).append(part)
    for when, parts in ends.items():
        setting, told = f"reward.components.{parts[0]}", "changes"
        if len(parts) > 1:
            setting, told = "reward", f"{' and '.join(parts)} change"
        hint = "`unit: share` counts in shares of a run"
        found.append(Unreached(setting, f"{told} {when}, and the run has {steps} (rl.steps; {hint})"))
    return tuple(found)
