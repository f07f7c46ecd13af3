"""Which checkpoint of a training stage is exported: the last one, or the best by validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolrl_cli.errors import StageError
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.training.best_checkpoint import METRIC, best_folder, read_best
from toolrl_cli.training.checkpoints import newest_whole, torn_model


@dataclass(frozen=True)
class Chosen:
    """A checkpoint to export.

    Attributes:
        rule: how it was chosen.
        step: of which step it is.
        model: the folder of its model's shards.
        value: what it scored, where it was chosen by that.
        among: steps that it was chosen from, where it was.
    """

    rule: Literal["last", "best"]
    step: int
    model: Path
    value: float | None = None
    among: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.rule == "last":
            return f"step {self.step}, the last"
        return f"step {self.step}, the best by validation of {', '.join(map(str, self.among))}"

    def to_json(self) -> dict[str, Any]:
        """The content of `output/checkpoint.json`."""
        said: dict[str, Any] = {"schema": 1, "rule": self.rule, "step": self.step}
        if self.rule == "best":
            said |= {"metric": METRIC, "value": self.value, "among": list(self.among)}
        return said


def last_to_export(checkpoints: Path) -> Chosen:
    """The newest checkpoint that is whole.

    Raises:
        StageError: there is none.
    """
    newest = newest_whole(checkpoints)
    if newest is None:
        hint = f"`toolrl resume SWEEP --stage {checkpoints.parent.name} --fresh` trains it again"
        raise StageError("no whole checkpoint to export", str(checkpoints), hint, failure_class="infra")
    actor = newest / "actor"
    return Chosen("last", int(newest.name.rpartition("_")[2]), actor if actor.is_dir() else newest)


def best_to_export(checkpoints: Path, trained: StageSpec, config: Mapping[str, Any]) -> Chosen:
    """The best by validation of the steps that the export's identity names.

    Args:
        checkpoints: of the training stage.
        trained: the training stage.
        config: of the export; `save_every` is the distance of the checkpoints to choose from.

    Raises:
        StageError: one of those steps was not judged, or the best one is gone.
    """
    steps = candidates(trained.config["rl"], config["save_every"])
    best = read_best(checkpoints)
    again = f"train it again: `toolrl resume --stage {trained.id} --fresh`"
    missing = [step for step in steps if step not in best.judged]
    if missing:
        raise StageError(
            f"no checkpoint of step {missing[0]} was validated",
            str(checkpoints),
            again,
            failure_class="config",
        )
    step = best.best_of({known: best.judged[known] for known in steps})
    if step is None:
        raise StageError(
            "no step was both saved and validated", str(checkpoints), again, failure_class="config"
        )
    for folder in (best_folder(checkpoints, step), checkpoints / f"global_step_{step}"):
        actor = folder / "actor"
        if actor.is_dir() and torn_model(actor) is None:
            return Chosen("best", step, actor, best.judged[step], tuple(steps))
    raise StageError(
        f"the best checkpoint by validation, of step {step}, is gone",
        str(checkpoints),
        again,
        failure_class="infra",
    )


def candidates(rl: Mapping[str, Any], save_every: int) -> list[int]:
    """The steps that are both saved and validated; the last always is.

    Args:
        rl: the `rl` of the training stage's config.
        save_every: steps between checkpoints.
    """
    last = rl["steps"]
    both = (n for n in range(save_every, last, save_every) if n % rl["validate_every"] == 0)
    return [*both, last]
