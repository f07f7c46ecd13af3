"""Whether a run's settings are those of its algorithm: what contradicts it, and what it would not read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolrl_cli.spec.algorithms.algorithm import Algorithm
from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.suggest import hint_for

if TYPE_CHECKING:
    from toolrl_cli.spec.run.run_spec import RunSpec
    from toolrl_cli.spec.run.training_settings import RlSpec

TOTAL = "reward"
"""The metric of dynamic sampling that is the whole reward."""


@dataclass(frozen=True)
class AlgorithmFault:
    """A setting that does not fit the algorithm.

    Attributes:
        setting: dotted.
        what: the fault in one clause.
        hint: what to write.
    """

    setting: str
    what: str
    hint: str


def first_fault(run: RunSpec, written: Collection[str]) -> AlgorithmFault | None:
    """The first setting of a run that does not fit its algorithm.

    Args:
        run: a run that trains with RL.
        written: the dotted settings that the sweep itself sets, as against presets and defaults.
    """
    algorithm = ALGORITHMS[run.algorithm]
    for faults in (
        _contradictions(algorithm, run.rl),
        _batches(algorithm, run.rl, run.resources.ranks),
        _unread(algorithm, run.rl, written),
        _parts(run),
    ):
        for fault in faults:
            return fault
    return None


def _contradictions(algorithm: Algorithm, rl: RlSpec) -> Iterator[AlgorithmFault]:
    for name, values in algorithm.only.items():
        value = getattr(rl, name)
        if value not in values:
            wanted = " or ".join(map(_shown, values))
            what = f"is {_shown(value)}, and {algorithm.name} ({algorithm.source}) has {wanted}"
            yield AlgorithmFault(f"rl.{name}", what, "remove it, or name another algorithm")
    if "dynamic_sampling" in algorithm.settings and rl.dynamic_sampling is None:
        yield AlgorithmFault(
            "rl.dynamic_sampling",
            f"is off, and {algorithm.name} ({algorithm.source}) samples until the rewards of a group differ",
            "remove it, or set `algorithm: grpo` with rl.clip_ratio_low and rl.clip_ratio_high",
        )


def _batches(algorithm: Algorithm, rl: RlSpec, ranks: int) -> Iterator[AlgorithmFault]:
    if algorithm.groups and rl.rollouts < 2:
        what = f"is {rl.rollouts}, and {algorithm.name} compares the responses to one prompt"
        yield AlgorithmFault("rl.rollouts", what, "2 or more")
    if algorithm.on_policy and rl.mini_batch != rl.prompts:
        what = f"is {rl.mini_batch}, and {algorithm.name} makes one update a step, exactly on-policy"
        yield AlgorithmFault("rl.mini_batch", what, f"set rl.mini_batch: {rl.prompts}, as rl.prompts")
    if algorithm.on_policy and rl.updates != 1:
        what = f"is {rl.updates}, and {algorithm.name} makes one update a step, exactly on-policy"
        yield AlgorithmFault("rl.updates", what, "set rl.updates: 1")
    share = rl.mini_batch * rl.rollouts // ranks
    if algorithm.whole_mini_batches and (rl.micro_batch is None or rl.micro_batch < share):
        told = "counted in tokens" if rl.micro_batch is None else str(rl.micro_batch)
        what = f"is {told}, and the loss of {algorithm.name} is not the same over parts of a mini-batch"
        hint = f"set rl.micro_batch: {share} (rl.mini_batch × rl.rollouts / GPUs)"
        yield AlgorithmFault("rl.micro_batch", what, hint)


def _unread(algorithm: Algorithm, rl: RlSpec, written: Collection[str]) -> Iterator[AlgorithmFault]:
    defaults = type(rl).model_fields
    for name in sorted(algorithm.unread):
        if name != "clip_ratio" and getattr(rl, name) != defaults[name].default:
            what = f"is {_shown(getattr(rl, name))}, and {algorithm.name} does not read it"
            yield AlgorithmFault(f"rl.{name}", what, "remove it")
    if "rl.clip_ratio" in written:
        if "clip_ratio" in algorithm.unread:
            yield AlgorithmFault("rl.clip_ratio", f"{algorithm.name} does not read it", "remove it")
        elif rl.clip_ratio_low is not None and rl.clip_ratio_high is not None:
            what = f"is without effect: {algorithm.name} has rl.clip_ratio_low and rl.clip_ratio_high here"
            yield AlgorithmFault("rl.clip_ratio", what, "set those two")
    if rl.dynamic_sampling is not None and not algorithm.groups:
        what = f"leaves out groups of equal rewards, and {algorithm.name} has no groups"
        yield AlgorithmFault("rl.dynamic_sampling", what, "remove it")


def _parts(run: RunSpec) -> Iterator[AlgorithmFault]:
    """Names of the reward's parts."""
    parts: Mapping[str, Any] = run.reward.get("components", {})
    sampling = run.rl.dynamic_sampling
    if sampling is not None and sampling.metric not in (TOTAL, *parts):
        hint = hint_for(sampling.metric, (TOTAL, *parts), "metrics")
        what = f"{sampling.metric!r} is no part of the reward"
        yield AlgorithmFault("rl.dynamic_sampling.metric", what, hint)
    for name, part in parts.items():
        if part.get("max_length", 0) > run.rl.max_response_length:  # of overlong, and of cosine
            what = f"is {part['max_length']}, more tokens than rl.max_response_length ({run.rl.max_response_length})"
            hint = f"set it to {run.rl.max_response_length}"
            yield AlgorithmFault(f"reward.components.{name}.max_length", what, hint)
        if part.get("batch") and run.algorithm == "remax":
            what = "takes all responses to a prompt together, and remax's baseline is a response that is scored alone"
            hint = "name another algorithm, or score each response alone"
            yield AlgorithmFault(f"reward.components.{name}.batch", what, hint)
    for name in run.rl.gdpo_weights or ():
        if name not in parts:
            what = f"{name!r} is no part of the reward"
            yield AlgorithmFault(f"rl.gdpo_weights.{name}", what, hint_for(name, parts, "parts"))


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
