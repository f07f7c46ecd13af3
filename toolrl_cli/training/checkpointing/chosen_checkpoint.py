"""Chooses the checkpoint of a training stage to export: the last one, the best by validation, or of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toolrl_cli.errors import StageError
from toolrl_cli.spec.evaluations.over_steps import best_candidates
from toolrl_cli.spec.kind_configs import ExportConfig, RlConfig
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.schemas import CHECKPOINT
from toolrl_cli.training.checkpointing.best_checkpoint import METRIC, best_folder, read_best
from toolrl_cli.training.checkpointing.checkpoints import newest_whole, saved_steps, torn_model
from toolrl_cli.training.checkpointing.kept_steps import kept_folder

CANNOT_HELP = "config"
"""Failure class of these errors: further attempts would find the same files, so none is made."""


@dataclass(frozen=True)
class Chosen:
    """A checkpoint to export.

    Attributes:
        rule: how it was chosen.
        step: the step that it was saved at.
        model: the folder with the shards of its model.
        value: its validation value, if chosen by that.
        among: the steps that it was chosen from, if any.
    """

    rule: Literal["last", "best", "step"]
    step: int
    model: Path
    value: float | None = None
    among: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.rule != "best":
            return f"step {self.step}" + (", the last" if self.rule == "last" else "")
        return f"step {self.step}, the best by validation of {', '.join(map(str, self.among))}"

    def to_json(self) -> dict[str, Any]:
        """The content of `output/checkpoint.json`."""
        said: dict[str, Any] = CHECKPOINT.stamped({"rule": self.rule, "step": self.step})
        if self.rule == "best":
            said |= {"metric": METRIC, "value": self.value, "among": list(self.among)}
        return said


@dataclass(frozen=True)
class Lost:
    """A checkpoint that an export needs and that is gone.

    Attributes:
        what: in one clause.
        step: the step that it was saved at; None where unknown.
    """

    what: str
    step: int | None


def lost_checkpoint(checkpoints: Path, trained: StageSpec, export: ExportConfig) -> Lost | None:
    """What the export of a finished training would miss, judged by the names of folders only.

    Args:
        checkpoints: of the training stage.
        trained: the training stage.
        export: the config of the export.

    Raises:
        OSError: the file system does not give it.
    """
    last = trained.total_steps
    try:
        saved = [step for step, _ in saved_steps(checkpoints)]
    except NotADirectoryError:  # a file with that name
        return Lost("its checkpoints are gone", last)
    if export.step is not None:
        there = export.step in saved or kept_folder(checkpoints, export.step).is_dir()
        return None if there else Lost(f"its checkpoint of step {export.step} was not kept", export.step)
    if export.checkpoint == "best":
        judged = read_best(checkpoints).judged
        steps = candidates(trained, export)
        if judged.keys() >= set(steps):
            best = best_of(judged, steps)
            if best in saved or best_folder(checkpoints, best).is_dir():
                return None
            return Lost(f"its best checkpoint, of step {best}, is gone", best)
        if judged or saved or any(checkpoints.glob("best_step_*")):
            return None  # no file is gone: the export reports the step that was not judged
    elif saved and max(saved) >= (last or 0):
        return None
    return Lost(
        f"its last checkpoint, of step {last}, is gone" if saved else "its checkpoints are gone", last
    )


def last_to_export(checkpoints: Path, trained: StageSpec) -> Chosen:
    """The checkpoint of the last step.

    Raises:
        StageError: it is missing or not whole.
    """
    newest = newest_whole(checkpoints)
    step = int(newest.name.rpartition("_")[2]) if newest else 0
    if newest is None or (trained.total_steps is not None and step < trained.total_steps):
        what = f"the last checkpoint, of step {trained.total_steps}, is not whole" if newest else ""
        again = f"--from-step {step}` trains on from there" if newest else "--fresh` trains it again"
        raise StageError(
            what or "no whole checkpoint to export",
            str(checkpoints),
            f"`toolrl resume SWEEP --stage {trained.id} {again}",
            failure_class=CANNOT_HELP,
        )
    actor = newest / "actor"
    return Chosen("last", step, actor if actor.is_dir() else newest)


def best_to_export(checkpoints: Path, trained: StageSpec, export: ExportConfig) -> Chosen:
    """The best checkpoint by validation among the steps in the export's identity.

    Args:
        checkpoints: of the training stage.
        trained: the training stage.
        export: the config of the export; `save_every` is the number of steps between checkpoints.

    Raises:
        StageError: one of those steps was not judged, or the best one is gone.
    """
    steps = candidates(trained, export)
    best = read_best(checkpoints)
    again = f"train it again: `toolrl resume SWEEP --stage {trained.id} --fresh`"
    missing = [step for step in steps if step not in best.judged]
    if missing:
        what = f"no checkpoint of step {missing[0]} was validated"
        raise StageError(what, str(checkpoints), again, failure_class=CANNOT_HELP)
    step = best_of(best.judged, steps)
    for folder in (best_folder(checkpoints, step), checkpoints / f"global_step_{step}"):
        actor = folder / "actor"
        if actor.is_dir() and torn_model(actor) is None:
            return Chosen("best", step, actor, best.judged[step], tuple(steps))
    what = f"the best checkpoint by validation, of step {step}, is gone or not whole"
    raise StageError(what, str(checkpoints), again, failure_class=CANNOT_HELP)


def step_to_export(checkpoints: Path, trained: StageSpec, step: int) -> Chosen:
    """The checkpoint of one step.

    Raises:
        StageError: it was not kept, or is not whole.
    """
    for folder in (kept_folder(checkpoints, step), checkpoints / f"global_step_{step}"):
        actor = folder / "actor"
        if actor.is_dir() and torn_model(actor) is None:
            return Chosen("step", step, actor)
    what = f"the checkpoint of step {step} was not kept, or is not whole"
    again = f"train it again, now that it is wanted: `toolrl resume SWEEP --stage {trained.id} --fresh`"
    raise StageError(what, str(checkpoints), again, failure_class=CANNOT_HELP)


def best_of(judged: Mapping[int, float], steps: Sequence[int]) -> int:
    """The step with the highest value, the earliest of equals; `steps` is never empty."""
    return min(steps, key=lambda step: (-judged[step], step))


def candidates(trained: StageSpec, export: ExportConfig) -> list[int]:
    """The steps that are both saved and validated; the last one always is.

    Args:
        trained: an `rl` stage.
        export: the config of its export; `save_every` is the steps between checkpoints.
    """
    rl = trained.settings(RlConfig).rl
    return best_candidates(rl, export.save_every or rl.save_every)
