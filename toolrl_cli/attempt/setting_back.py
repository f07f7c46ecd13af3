"""Setting one stage back to a checkpoint or to its start. Nothing is deleted."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from toolrl_cli.attempt.divergence import lost_since
from toolrl_cli.store.files import explained, make_folder, write_json
from toolrl_cli.store.lease import Lease
from toolrl_cli.store.ledger import StageFolder
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.store.progress.rewinds import read_rewinds
from toolrl_cli.store.schemas import REWINDS, WHY_SUPERSEDED
from toolrl_cli.store.scores import ANSWERS
from toolrl_cli.store.state import StageState
from toolrl_cli.training.checkpointing.checkpoints import saved_steps, whole_steps

SUPERSEDED = "superseded"

START = 0
"""The step before the first."""


def go_back(folder: StageFolder, lease: Lease, state: StageState) -> StageState:
    """The state from which the next attempt of a stage goes on: set back as was begun, and to before it diverged.

    What a training saved since is of a model that is lost. Were it the last step's, the stage would succeed with it.
    All its metrics tell, whatever ended its last attempt: one that is killed has no time to say that it diverged.

    Raises:
        LedgerError: the file system refuses.
    """
    if state.going_back is not None:
        set_stage_back(folder, lease, **state.going_back)
    with explained(folder.path):
        lost = lost_since(merge_metrics(folder.path))
    if lost is not None:
        metric, since = lost
        step = max((n for n in steps_of(folder) if n < since), default=START)
        if _outdated(folder, step):
            set_stage_back(folder, lease, step, f"{metric} was not a finite number since step {since}")
    return folder.state()


def steps_of(folder: StageFolder) -> list[int]:
    """The steps of which a stage has a whole checkpoint, ascending.

    Raises:
        LedgerError: the file system does not give them.
    """
    checkpoints = folder.path / "checkpoints"
    with explained(checkpoints):
        return whole_steps(checkpoints)


def set_stage_back(folder: StageFolder, lease: Lease, step: int, why: str, *, answers: bool = False) -> str:
    """Set one stage back; how, or nothing where it never ran. Who dies in it leaves it to the next attempt.

    Args:
        folder: the stage's.
        lease: held on it.
        step: to go on from, `START` for the beginning.
        why: for the record.
        answers: whether those that an evaluation has still count.
    """
    state = folder.state()
    outdated = [path for path in _outdated(folder, step) if not (answers and path.name == ANSWERS)]
    if state.attempt == 0 and not outdated and state.going_back is None:
        return ""
    where = "the start" if step == START else f"step {step}"
    if answers and (folder.path / ANSWERS).exists():
        where += ", what is answered kept"
    note = f"set back to {where} ({why})"
    doing = {"step": step, "why": why, "answers": answers}
    state = state.set_back(note, adjust={} if step == START else None, going_back=doing)
    folder.write_state(state, lease)
    _note_rewind(folder, state.attempt, -1 if step == START else step, note)
    if outdated:
        _supersede(folder, outdated, note)
    folder.write_state(replace(state, going_back=None), lease)
    return note


def _outdated(folder: StageFolder, step: int) -> list[Path]:
    """What does not count any more, as paths below the stage's directory."""
    if step == START:
        # answers are of the old model
        made = (folder.path / name for name in ("checkpoints", "output", ANSWERS))
        return [path for path in made if path.exists()]
    checkpoints = folder.path / "checkpoints"
    with explained(checkpoints):
        later = [path for n, path in saved_steps(checkpoints) if n > step]
        models = (p for kind in ("best", "kept") for p in checkpoints.glob(f"{kind}_step_*"))
        numbers = ((p, p.name.rpartition("_")[2]) for p in models)
        kept = [p for p, number in numbers if number.isdecimal() and int(number) > step]
    return sorted([*later, *kept])


def _note_rewind(folder: StageFolder, attempt: int, step: int, note: str) -> None:
    with explained(folder.path):
        earlier = read_rewinds(folder.path)
    entry = {"attempt": attempt, "step": step, "reason": note, "time": time.time()}
    write_json(folder.path / REWINDS.name, REWINDS.stamped({"rewinds": [*earlier, entry]}))


def _supersede(folder: StageFolder, paths: Iterable[Path], note: str) -> None:
    place = folder.path / SUPERSEDED
    make_folder(place)
    with explained(place):
        taken = [int(entry.name) for entry in place.iterdir() if entry.name.isdecimal()]
        target = place / str(max(taken, default=0) + 1)
        target.mkdir()
        why = WHY_SUPERSEDED.stamped({"reason": note, "time": time.time()})
        write_json(target / WHY_SUPERSEDED.name, why)
        for path in paths:
            new = target / path.relative_to(folder.path)
            new.parent.mkdir(parents=True, exist_ok=True)
            path.rename(new)
