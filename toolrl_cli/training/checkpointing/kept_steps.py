"""Keeps the models of single steps, for the exports that score them, while verl keeps only the newest checkpoints.

    checkpoints/kept_step_N/actor/…      what an export needs of `global_step_N`: model shards, configuration,
                                         tokenizer; not the optimiser's state, nor the critic

The files are hard links, so that keeping them takes no time, and no disk space while verl keeps the step too. Which
steps are wanted is read from the plans of the saved sweeps, so that every sweep that shares the training is served,
and one that is issued while it runs as well.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from toolrl_cli.errors import LedgerError
from toolrl_cli.log import LOG
from toolrl_cli.spec.evaluations.over_steps import kept_for_export
from toolrl_cli.store.sweep_folder import SweepFolder, saved_names
from toolrl_cli.training.checkpointing.checkpoints import saved_steps, torn_model, what_is_torn

_KEPT = re.compile(r"^kept_step_(\d+)$")
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
_OPTIMISER = ("optim_", "extra_state_")


def kept_folder(checkpoints: Path, step: int) -> Path:
    """`kept_step_N`."""
    return checkpoints / f"kept_step_{step}"


def wanted_steps(results: Path, trained: str) -> set[int]:
    """The steps of a training that exports of saved sweeps read.

    Args:
        results: the results root.
        trained: id of the training stage.
    """
    found: set[int] = set()
    for name in saved_names(results):
        try:
            stages = SweepFolder(results, name).load().stages.values()
        except LedgerError as error:
            LOG.warning("which checkpoints the sweep %s needs is not known: %s", name, error)
            continue
        needs = (kept_for_export(stage) for stage in stages)
        found |= {need[1] for need in needs if need is not None and need[0] == trained}
    return found


class StepKeeper:
    """Keeps the models of wanted steps.

    Args:
        checkpoints: `trainer.default_local_dir`.
        wanted: gives the steps; asked once for each newly saved checkpoint.
    """

    def __init__(self, checkpoints: Path, wanted: Callable[[], Collection[int]]) -> None:
        self._checkpoints = checkpoints
        self._wanted = wanted
        self._seen: set[int] = set()

    def go_on_from(self, step: int) -> None:
        """Forget the steps after the one that training continues from: their models are gone.

        Raises:
            OSError: the directory cannot be changed.
        """
        for entry in os.scandir(self._checkpoints):
            match = _KEPT.match(entry.name)
            if match and int(match[1]) > step:
                shutil.rmtree(entry.path)

    def look(self) -> None:
        """Keep what is wanted of the whole checkpoints that are there.

        Raises:
            OSError: the directory cannot be changed.
        """
        saved = dict(saved_steps(self._checkpoints))
        if saved.keys() <= self._seen:
            return
        wanted = self._wanted()
        for step, path in saved.items():
            if step not in wanted:
                self._seen.add(step)
            elif what_is_torn(path) is None:  # else verl is writing it
                actor = kept_folder(self._checkpoints, step) / "actor"
                if (actor.is_dir() and torn_model(actor) is None) or keep_model(path / "actor", actor.parent):
                    self._seen.add(step)


def keep_model(source: Path, target: Path) -> bool:
    """Keep a model's shards, as hard links, below another folder's `actor/`; it appears whole.

    Args:
        source: `global_step_N/actor`.
        target: the folder; what is there is replaced.

    Returns:
        False where the model is not whole, or is removed meanwhile.

    Raises:
        OSError: the file system refuses.
    """
    if not source.is_dir() or torn_model(source) is not None:
        return False
    temporary = target.with_name(f".{target.name}.partial")
    for stale in (temporary, target):
        if stale.exists():
            shutil.rmtree(stale)
    try:
        for path in sorted(source.rglob("*")):
            if path.is_file() and not path.name.startswith(_OPTIMISER):
                _link_or_copy(path, temporary / "actor" / path.relative_to(source))
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if not source.is_dir() or torn_model(source) is not None:  # verl removed it in the meantime
            return False
        raise
    temporary.rename(target)
    return True


def _link_or_copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copy2(source, target)
