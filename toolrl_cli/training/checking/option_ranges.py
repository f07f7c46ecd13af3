"""Ranges of numbers that verl 0.9.1, torch or vLLM check only in a worker, minutes after a run has started.

Each comment names the code that refuses other numbers. Imports none of the three.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from toolrl_cli.training.checking.batches import at
from toolrl_cli.training.checking.composed import Kind
from toolrl_cli.training.checking.option_fault import OptionFault
from toolrl_cli.training.checking.verl_interpolation import Tree


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`; `least` itself is included if `closed`."""

    least: float
    most: float = inf
    closed: bool = True

    def holds(self, value: float) -> bool:
        """Whether a number is in the range; NaN is not."""
        return (value >= self.least if self.closed else value > self.least) and value <= self.most

    def __str__(self) -> str:
        lower = f"{self.least:g} or more" if self.closed else f"more than {self.least:g}"
        if self.most == inf:
            return lower
        if self.closed:
            return f"{self.least:g}" if self.least == self.most else f"{self.least:g} to {self.most:g}"
        return f"{lower}, at most {self.most:g}"


NATURAL = Range(1)
ROLLOUT = "actor_rollout_ref.rollout"

RANGES: dict[Kind, dict[str, Range]] = {
    "rl": {
        # vllm/config/scheduler.py
        f"{ROLLOUT}.max_num_seqs": NATURAL,
        f"{ROLLOUT}.max_num_batched_tokens": NATURAL,
        # vllm/sampling_params.py
        f"{ROLLOUT}.top_k": Range(-1),
        f"{ROLLOUT}.val_kwargs.temperature": Range(0),
        f"{ROLLOUT}.val_kwargs.top_p": Range(0, 1, closed=False),
        f"{ROLLOUT}.val_kwargs.top_k": Range(-1),
        # trainer/ppo/core_algos.py `compute_policy_loss_vanilla` asserts it
        "actor_rollout_ref.actor.clip_ratio_c": Range(1, closed=False),
    },
    "sft": {},
}
"""Option → its range. The settings have ranges of their own (`spec.run`)."""


def check_ranges(kind: Kind, tree: Tree) -> None:
    """Check the numbers of a merged configuration.

    Raises:
        OptionFault: names the first number that would be refused.
    """
    for option, bounds in RANGES[kind].items():
        value = at(tree, option)
        if isinstance(value, (int, float)) and not bounds.holds(value):
            raise OptionFault(f"{value:g} is out of range", option, str(bounds))
