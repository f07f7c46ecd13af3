"""Where a sweep is in W&B: project, entity and mode, and the ids of its runs, which no other results tree shares.

`RESULTS/sweeps/<sweep>/wandb.json` holds a random salt, so that the same sweep run by two people, or in two trees, is
two sets of W&B runs. A tree that was moved keeps its own; a copy of one that is still there gets new ones.
"""

from __future__ import annotations

import fcntl
import netrc
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.spec.identity import digest
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.sweeps.sweep_file import MODES, Mode, Tracking, project_fault
from toolrl_cli.store.files import explained, make_folder, write_json
from toolrl_cli.store.schemas import WANDB
from toolrl_cli.tracking.status import LOGGERS, read_status

PROJECT = "toolrl"
MAX_ID = 128  # W&B's limit
LOCK = "wandb"


def choose_mode(asked: str | None, tracking: Mapping[str, Any] | None = None) -> Mode:
    """The option, else the sweep's, else `$WANDB_MODE`, else online where a login is found and offline where none is.

    Raises:
        SpecError: an unknown mode, or a project of the environment that W&B would refuse once all is trained.
    """
    given = asked or (tracking or {}).get("mode") or os.environ.get("WANDB_MODE")
    told = given or ("online" if _logged_in() else "offline")
    if told not in MODES:
        raise SpecError(f"unknown W&B mode {told!r}", "--wandb or $WANDB_MODE", f"one of {', '.join(MODES)}")
    project = os.environ.get("WANDB_PROJECT", "")
    if told != "disabled" and not (tracking or {}).get("project") and (why := project_fault(project)):
        raise SpecError(why, "$WANDB_PROJECT", "WANDB_ENTITY=TEAM WANDB_PROJECT=PROJECT names both")
    return told


def tracking_of(saved: Mapping[str, Any]) -> Tracking:
    """The settings as a sweep was saved with them.

    Raises:
        SpecError: an earlier version took what W&B does not.
    """
    try:
        return Tracking.model_validate(saved)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("tracking", *first["loc"])))
        hint = (
            "correct it in the sweep's file and run `toolrl sweep` with that again: nothing is trained anew"
        )
        raise SpecError(first["msg"], f"{where} of the saved sweep", hint) from None


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return any("wandb" in host for host in netrc.netrc().hosts)
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return False


@dataclass(frozen=True)
class Place:
    """Where a sweep's runs are in W&B.

    Attributes:
        project: its name.
        entity: user or team; None for that of the login.
        salt: makes ids that no other results tree has.
        generations: run → how often it was made anew.
    """

    project: str
    entity: str | None
    salt: str
    generations: Mapping[str, int] = field(default_factory=dict)

    def wandb_id(self, run: PlannedRun) -> str:
        """The id for a run: the same for the same stages, whatever its attempts, crashes and machines."""
        same = digest([self.salt, run.id, [stage.id for stage in run.stages]])
        generation = self.generations.get(run.id, 1)
        name = f"{run.sweep[:40]}-{run.id[:60]}-{same}" + (f"-{generation}" if generation > 1 else "")
        return re.sub(r"[^A-Za-z0-9._-]", "-", name)[:MAX_ID]


@contextmanager
def publishing_alone(sweep: Path, patience: float = 0.0, what: str = LOCK) -> Iterator[bool]:
    """Whether nobody else feeds W&B, or the other loggers, from this sweep's folder; nobody does meanwhile.

    A lock tells of this machine, and of others where their file system has locks; the status file of them all.

    Args:
        sweep: `RESULTS/sweeps/<sweep>`.
        patience: seconds to wait for somebody who is about to end.
        what: `wandb`, or `loggers`.

    Raises:
        LedgerError: the results root cannot be written.
    """
    make_folder(sweep)
    path = sweep / f".{what}.lock"
    with explained(path), path.open("w", encoding="utf-8") as lock:
        deadline = time.monotonic() + patience
        while not (alone := _locked(lock) and not _fed_elsewhere(sweep, what)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        yield alone


def _fed_elsewhere(sweep: Path, what: str) -> bool:
    """Whether a publisher on a machine that cannot be seen from here is at work."""
    status = read_status(sweep, LOGGERS if what == LOGGERS else "")
    return status is not None and status.at_work and status.owner is not None and status.owner.alive() is None


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def place_of(sweep: Path, tracking: Tracking, anew: str | None = None) -> Place:
    """Where the sweep in a folder is in W&B; ids are the same for all who ask.

    Args:
        sweep: `RESULTS/sweeps/<sweep>`.
        tracking: what the sweep says.
        anew: id of a run that is to be made anew, as another W&B run.

    Raises:
        LedgerError: the results root cannot be read or written.
    """
    make_folder(sweep)
    lock_file = sweep / ".place.lock"
    with explained(lock_file), lock_file.open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _place(sweep, tracking, anew)


def _place(sweep: Path, tracking: Tracking, anew: str | None) -> Place:
    path, here = sweep / WANDB.name, str(sweep.resolve())
    known = WANDB.load(path) or {}
    salt, recorded = str(known.get("salt") or ""), str(known.get("path") or "")
    generations = {str(run): int(n) for run, n in dict(known.get("generations") or {}).items()}
    if not salt or (recorded != here and _is_another(Path(recorded), sweep, salt)):
        salt, generations = os.urandom(8).hex(), {}
    if anew is not None:
        generations[anew] = generations.get(anew, 1) + 1
    record = WANDB.stamped({"salt": salt, "path": here, "generations": generations})
    if record != known:
        write_json(path, record)
    project = tracking.project or os.environ.get("WANDB_PROJECT") or PROJECT
    return Place(project, tracking.entity or os.environ.get("WANDB_ENTITY"), salt, generations)


def _is_another(recorded: Path, here: Path, salt: str) -> bool:
    """Whether a recorded folder is still there, so that this one is its copy."""
    with suppress(LedgerError, OSError):
        there = WANDB.load(recorded / WANDB.name) or {}
        return there.get("salt") == salt and not recorded.samefile(here)
    return False
