"""Signs in a training's metrics that its steps teach nothing, though each of them ends well; and steps without any.

All follow from what verl 0.9.1 logs for a step, and from the share of groups that toolrl's own sampler adds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolrl_cli.attempt.divergence import NO_TOKENS, over_no_tokens
from toolrl_cli.errors import SpecError
from toolrl_cli.spec.algorithms.catalogue import ALGORITHMS
from toolrl_cli.spec.kind_configs import RlConfig
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import settings_of
from toolrl_cli.store.files import explained
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.store.progress.step_warnings import StepWarning, counted

TRAINED = ("train/loss", "critic/score/mean")
"""One of these is in the metrics of every training step, and not in those of a validation."""
ALIKE = "reward/total/alike"
"""Share of the groups whose responses all earned the same (`training.reward_metrics`)."""
NO_ADVANTAGE = 1e-6
"""Largest advantage that is none: what is left where a mean of equal numbers is not exact."""

Signs = dict[str, tuple[str, str]]
"""Name → what is seen, and what to do."""

NOT_LOGGED: Signs = {
    "not_logged": (
        "the attempt that trained it was killed after its checkpoint and before its metrics",
        "the model is whole; its curves have a gap there",
    )
}


class WarningSigns:
    """Counts the signs in the steps of one attempt, on top of those of earlier attempts that still count.

    Args:
        spec: the stage.
        stage_dir: its folder.
    """

    def __init__(self, spec: StageSpec, stage_dir: Path) -> None:
        try:
            config: object = settings_of(spec)
        except SpecError:  # the stage's function says so, and no step will come
            config = None
        self._config = config if isinstance(config, RlConfig) else None
        self._last = spec.total_steps
        self._stage_dir = stage_dir
        self._found: tuple[StepWarning, ...] = ()
        self._steps: set[int] | None = None

    def after(self, rows: Sequence[Mapping[str, Any]]) -> tuple[StepWarning, ...]:
        """The warnings once these rows of metrics have been logged.

        Raises:
            LedgerError: the metrics of earlier attempts cannot be read.
        """
        if self._steps is None and rows:
            with explained(self._stage_dir):
                merged = merge_metrics(self._stage_dir)
            self._steps = set()
            # of the step that the last checkpoint holds, verl first logs a validation
            self._count(row for row in merged if row["step"] <= rows[0]["step"])
        self._count(rows)
        return self._found

    def _count(self, rows: Iterable[Mapping[str, Any]]) -> None:
        steps = self._steps if self._steps is not None else set()
        for row in rows:
            step, trained = row["step"], any(key in row["data"] for key in TRAINED)
            if step in steps or not (trained or step == self._last):
                continue
            # verl saves a checkpoint before it logs its step: who is killed between leaves no metrics of it, of the
            # last step only the validation that the next attempt makes
            for lost in sorted(set(range(1, step + (not trained))) - steps):
                steps.add(lost)
                self._found = counted(self._found, lost, len(steps), NOT_LOGGED)
            if trained:
                steps.add(step)
                self._found = counted(self._found, step, len(steps), signs_of(row["data"], self._config))


def signs_of(data: Mapping[str, Any], config: RlConfig | None) -> Signs:
    """The signs in the metrics of one training step.

    Args:
        data: what was logged; what was not finite is None.
        config: of the stage; None for SFT.
    """
    if config is None:
        key = "train/loss"
        return (
            {"no_tokens": ("the loss is over no token", NO_TOKENS[key])} if over_no_tokens(data, key) else {}
        )
    if _number(data, "response_length/max") == 0:
        what = "every response is empty, so the loss is over no token"
        return {
            "no_tokens": (
                what,
                "the model ends at once: look at its chat template, or train it with sft first",
            )
        }
    signs: Signs = {}
    limit = config.rl.max_response_length
    if (_number(data, "response_length/min") or 0) >= limit:
        signs["every_response_cut"] = (
            f"every response was cut at rl.max_response_length ({limit})",
            "raise it, or start from a model that ends its answers: train [sft, rl]",
        )
    if _no_gradient(data, config):
        signs["no_gradient"] = (
            "no response earned more than the others to its prompt, so the reward teaches nothing",
            "`toolrl reward explain --rollouts` shows what they earn; raise rl.rollouts or rl.temperature, "
            "or start from a model whose answers differ",
        )
    return signs


def _no_gradient(data: Mapping[str, Any], config: RlConfig) -> bool:
    algorithm = ALGORITHMS[config.algorithm]
    if _number(data, ALIKE) == 1.0 and algorithm.groups and not algorithm.own_trainer:
        return True
    ends = [_number(data, f"critic/advantages/{end}") for end in ("min", "max")]
    return all(end is not None and abs(end) <= NO_ADVANTAGE for end in ends)


def _number(data: Mapping[str, Any], key: str) -> float | None:
    value = data.get(key)
    return float(value) if isinstance(value, (int, float)) else None
