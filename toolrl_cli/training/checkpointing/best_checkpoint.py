"""Keeps the best checkpoint by validation reward, while verl keeps only the newest.

    checkpoints/best_step_N/actor/…      what an export needs of `global_step_N`: model shards, configuration,
                                         tokenizer; not the optimiser's state, nor the critic
    checkpoints/best.json                the value of every saved and validated step, and the step that is kept

A step is judged once its row is in `metrics.jsonl`: verl saves, validates, and then logs. Of equally good steps,
the earliest is kept.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.errors import LedgerError
from toolrl_cli.log import LOG
from toolrl_cli.store.files import write_json
from toolrl_cli.store.progress.metrics import MetricsFollower
from toolrl_cli.store.schemas import BEST
from toolrl_cli.training.checkpointing.checkpoints import prune, torn_model, what_is_torn
from toolrl_cli.training.checkpointing.kept_steps import StepKeeper, keep_model
from toolrl_cli.training.reward_metrics import TOTAL, validation_name

if TYPE_CHECKING:  # not imported for `status`, which reads `best.json` and needs no rewards
    from toolrl_cli.rewards import Reward

RECORD = BEST.name
METRIC = f"val-reward/{TOTAL}/mean"
LOOK = 0.2  # seconds between two looks at the metrics
AGAIN = (
    10.0  # seconds until another look where the file system has refused: what failed may be a copy of a model
)

_BEST = re.compile(r"^best_step_(\d+)$")

Judge = Callable[[int, Mapping[str, Any]], "float | None"]
"""(step, metrics of the step) → value of that step's model; None where it was not validated."""


@dataclass(frozen=True)
class Best:
    """The content of `best.json`.

    Attributes:
        judged: step → value, for every step that was saved and validated.
        step: the one that is kept, or None.
    """

    judged: Mapping[int, float]
    step: int | None = None


def validation_judge(reward: Reward, total_steps: int) -> Judge:
    """A judge by the mean validation reward, as a share of the reward's range at that step.

    Shares stay comparable when a schedule changes scales. Without a schedule they order steps as the reward does,
    so the reward itself is used where a component declares no range.
    """

    def judge(step: int, metrics: Mapping[str, Any]) -> float | None:
        values = [value for name, value in metrics.items() if validation_name(name) == METRIC]
        if len(values) != 1 or not isinstance(values[0], (int, float)) or not math.isfinite(values[0]):
            return None
        low, high = reward.total_range(step, total_steps)
        if not (math.isfinite(low) and math.isfinite(high) and high > low):
            return float(values[0])
        return float((values[0] - low) / (high - low))

    return judge


def read_best(checkpoints: Path) -> Best:
    """The content of `best.json`; empty where no step was judged yet.

    Raises:
        OSError: the file exists and cannot be read.
        LedgerError: a later version wrote it.
    """
    try:
        data = BEST.current(json.loads((checkpoints / RECORD).read_bytes()))
        judged = {int(step): float(value) for step, value in data["judged"].items()}
        return Best(judged, data["step"])
    except FileNotFoundError:
        return Best({})
    except (ValueError, KeyError, TypeError, AttributeError):
        return Best({})


def best_folder(checkpoints: Path, step: int) -> Path:
    """`best_step_N`."""
    return checkpoints / f"best_step_{step}"


class BestKeeper:
    """Keeps the best of the steps passed to `take`.

    Args:
        checkpoints: `trainer.default_local_dir`.
        judge: see `Judge`.
        steps: that the settings save and validate. No other that a stop or a resume has saved or validated is judged:
            another run would not have it, and to keep it would be to drop the best of these (`last_save`).
    """

    def __init__(self, checkpoints: Path, judge: Judge, steps: Collection[int]) -> None:
        self._checkpoints = checkpoints
        self._judge = judge
        self._steps = steps
        known = read_best(checkpoints).judged
        self._judged = {step: value for step, value in known.items() if step in steps}

    def go_on_from(self, step: int) -> None:
        """Forget the judged steps after the one that training continues from: their models are gone.

        Raises:
            OSError: the directory cannot be changed.
        """
        if not self._judged and not self._kept():
            return
        self._judged = {known: value for known, value in self._judged.items() if known <= step}
        for known in self._kept():
            if known > step:
                shutil.rmtree(best_folder(self._checkpoints, known))
        self._keep()

    def catch_up(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Judge the steps that earlier attempts logged but did not judge before they ended.

        Args:
            rows: as `merge_metrics` returns them.

        Raises:
            OSError: the directory cannot be changed.
        """
        for row in rows:
            self.take(row["step"], row["data"])

    def take(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Judge a step whose metrics have been logged, if it was saved and validated.

        Once: the step that a training goes on from is validated again, and its value may differ in the last digits.

        Raises:
            OSError, LedgerError: the directory cannot be changed; the same call then tries again.
        """
        wanted = step in self._steps and step not in self._judged
        value = self._judge(step, metrics) if wanted else None
        source = self._checkpoints / f"global_step_{step}"
        if value is None or not source.is_dir() or what_is_torn(source) is not None:
            return
        self._judged[step] = value
        try:
            self._keep()
        except (OSError, LedgerError):
            del self._judged[step]
            raise

    def _keep(self) -> None:
        """Keep the best of the judged steps that still exist, and remove other kept ones."""
        kept = None
        for step in sorted(self._judged, key=lambda known: (-self._judged[known], known)):
            if self._kept_whole(step) or self._link(step):
                kept = step
                break
            LOG.warning("step %d is best by validation, but its checkpoint is gone", step)
        self._write(kept)
        for step in self._kept():
            if step != kept:
                shutil.rmtree(best_folder(self._checkpoints, step))

    def _kept(self) -> list[int]:
        matches = (_BEST.match(entry.name) for entry in os.scandir(self._checkpoints))
        return [int(match[1]) for match in matches if match]

    def _kept_whole(self, step: int) -> bool:
        actor = best_folder(self._checkpoints, step) / "actor"
        return actor.is_dir() and torn_model(actor) is None

    def _link(self, step: int) -> bool:
        source = self._checkpoints / f"global_step_{step}" / "actor"
        return keep_model(source, best_folder(self._checkpoints, step))

    def _write(self, kept: int | None) -> None:
        data = {"metric": METRIC, "step": kept, "judged": self._judged}
        write_json(self._checkpoints / RECORD, BEST.stamped(data))


class CheckpointWatch(threading.Thread):
    """A thread beside a trainer that keeps the best checkpoint and removes surplus others.

    Args:
        checkpoints: `trainer.default_local_dir`.
        attempt_dir: folder in which the trainer writes `metrics.jsonl`.
        keeper: None where nothing is validated (SFT).
        keep: number of newest checkpoints to keep, at most; None for all.
        steps: keeps what exports of single steps need; None where there are none (SFT).
    """

    def __init__(
        self,
        checkpoints: Path,
        attempt_dir: Path,
        keeper: BestKeeper | None,
        keep: int | None,
        steps: StepKeeper | None = None,
    ) -> None:
        super().__init__(name="toolrl-checkpoints", daemon=True)
        self._checkpoints = checkpoints
        self._follower = MetricsFollower(attempt_dir)
        self._keeper = keeper
        self._keep = keep
        self._steps = steps
        self._untaken: list[dict[str, Any]] = []
        self._has_new = False
        self._finished = threading.Event()
        self._complained = False

    def run(self) -> None:
        """Look until `finish`."""
        pause = LOOK
        while not self._finished.wait(pause):
            pause = LOOK if self._look() else AGAIN

    def finish(self) -> None:
        """End the thread after a last look."""
        self._finished.set()
        if self.is_alive():
            self.join()
        self._look()

    def _look(self) -> bool:
        """Look once; whether all was done.

        What failed is only reported, because it must not end a training that otherwise goes well, and left to the
        next look.
        """
        try:
            new = self._follower.new()
            self._has_new |= bool(new)
            self._untaken += new
            while self._untaken:
                if self._keeper is not None:
                    self._keeper.take(self._untaken[0]["step"], self._untaken[0]["data"])
                del self._untaken[0]
            if self._has_new and self._steps is not None:
                self._steps.look()
            if self._has_new and self._keep is not None:
                prune(self._checkpoints, self._keep)
            self._has_new = False
        except (OSError, LedgerError) as error:
            if not self._complained:
                LOG.warning("a checkpoint cannot be kept: %s", error)
            self._complained = True
            return False
        return True
