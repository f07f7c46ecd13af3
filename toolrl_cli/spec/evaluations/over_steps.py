"""`{benchmark: NAME, every: STEPS}` in `evaluate`: models on the way through RL are scored as well.

Rewards of different designs cannot be compared, a benchmark's share of right answers can: so arms have one curve in
common. It has a point for the model that RL starts from (step 0), for every so many steps, and for the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

from toolrl_cli.spec.run.evaluation_settings import OverSteps
from toolrl_cli.spec.stage import StageSpec

if TYPE_CHECKING:
    from toolrl_cli.spec.run.run_spec import RunSpec
    from toolrl_cli.spec.run.training_settings import RlSpec


@dataclass(frozen=True)
class StepsFault:
    """What is wrong with a curve that a run asks for, and what to write."""

    what: str
    hint: str


def scored_steps(rl: RlSpec, every: int) -> list[int]:
    """The steps on the way that are scored: neither 0 nor the last."""
    return list(range(every, rl.steps, every))


def best_candidates(rl: RlSpec, save_every: int) -> list[int]:
    """The steps that are both saved and validated, from which the best is chosen; the last one always is.

    Args:
        rl: of the training.
        save_every: steps between its checkpoints.
    """
    return [n for n in range(save_every, rl.steps, save_every) if n % rl.validate_every == 0] + [rl.steps]


def over_steps_fault(run: RunSpec) -> StepsFault | None:
    """Why a run cannot have a curve that it asks for; None where it can, or trains no RL."""
    rl = run.rl
    if "rl" not in run.train:
        return None
    for entry in run.evaluate:
        if not isinstance(entry, OverSteps):
            continue
        every, saved = entry.every, rl.save_every
        fitting = [n for n in range(saved, rl.steps, saved) if n >= every] or [
            (rl.steps - 1) // saved * saved
        ]
        if every % saved:
            what = f"every: {every} is no multiple of rl.save_every ({saved}), so those checkpoints are never saved"
            other = f"rl.save_every: {gcd(every, saved)}"
            return StepsFault(what, f"set every: {fitting[0]}, or {other}" if fitting[0] else f"set {other}")
        if every >= rl.steps:
            what = f"every: {every} scores nothing on the way through {rl.steps} steps (rl.steps)"
            hint = f"set every: {saved}" if saved < rl.steps else "set it, and rl.save_every, below rl.steps"
            return StepsFault(what, f"{hint}, or name the benchmark alone: {entry.benchmark}")
    return None


def kept_for_export(stage: StageSpec) -> tuple[str, int] | None:
    """The training and the step whose checkpoint an export of one step needs; None for any other stage."""
    step = stage.identity.get("step")
    trained = stage.inputs.get("checkpoint")
    if stage.identity.get("checkpoint") != "step" or not isinstance(step, int) or trained is None:
        return None
    return trained, step


def point_of(evaluation: StageSpec, stages: Mapping[str, StageSpec]) -> int | None:
    """The step of RL that an evaluation of a run is a point of its curve for; None for the run's own result.

    Args:
        evaluation: one of the run's `evaluate` stages.
        stages: id → stage, of that run alone: what is one run's result is another's step 0.
    """
    trained = next((stage for stage in stages.values() if stage.kind == "rl"), None)
    model = evaluation.inputs.get("model")
    if trained is None:
        return None
    if model == trained.inputs.get("model"):
        return 0
    export = stages.get(model or "")
    kept = kept_for_export(export) if export is not None else None
    return None if kept is None else kept[1]
