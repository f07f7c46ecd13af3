"""What may go from a results root, why, and how much disk that gives; `removal` removes it.

Only what lies under the root by its real path is ever named, links are never followed, what is mounted there is
left alone, and so is a stage that is at work, or may be.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from toolrl_cli.attempt.setting_back import SUPERSEDED
from toolrl_cli.errors import LedgerError
from toolrl_cli.harness.slurm.arrays import FOLDER as ARRAYS
from toolrl_cli.housekeeping.caches import used_caches
from toolrl_cli.housekeeping.removal import TRASH, Garbage, Item, leads_out, mount_points, why_spared
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.store.files import explained
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.liveness import HandleAlive, lease_alive, local_alive, observed
from toolrl_cli.store.outputs import what_is_gone
from toolrl_cli.store.schemas import PLAN, PRINTED
from toolrl_cli.store.state import StageState
from toolrl_cli.store.sweep_folder import HARNESSES, SweepFolder
from toolrl_cli.training.checkpointing.best_checkpoint import read_best
from toolrl_cli.training.checkpointing.checkpoints import newest_whole, saved_steps, what_is_torn

Keep = Literal["last", "best", "none"]
KEEPS: tuple[Keep, ...] = ("last", "best", "none")
CACHES = ("data", "models")

ABANDONED = 600.0
"""Seconds after which nobody is still writing a temporary file."""

_TORN = re.compile(r"^global_step_\d+\.torn-\d+$")
_MADE = re.compile(r"^(?:toolworld|rlla|tiny)-[0-9a-f]{10}$")  # of sweeps; what people put there is theirs
_PARTIAL = re.compile(r"^\..+\.(?:partial|tmp)$")


def find_garbage(
    ledger: Ledger,
    *,
    checkpoints: Keep | None = None,
    unreferenced: bool = False,
    alive: HandleAlive = local_alive,
) -> Garbage:
    """Look for what may go; nothing is changed.

    Always: torn checkpoints that were set aside, what verl left of those it removed, what `resume --from-step`
    and `--fresh` set aside, files of writers that were killed, and what job arrays that have ended were to run.

    Args:
        ledger: where to look.
        checkpoints: also checkpoints of training stages that have succeeded and whose exports have: all but
            the last, or the best by validation, or all.
        unreferenced: also stages that no saved sweep refers to, and data and models that no stage uses.
        alive: see `aftermath.observed`.

    Raises:
        LedgerError: the results root cannot be read, or a sweep's plan cannot, so that nobody can say which
            stages are referred to.
    """
    root = Path(os.path.realpath(ledger.results))
    with explained(root):
        finder = _Finder(Ledger(root), alive)
        finder.look(checkpoints, unreferenced)
    return Garbage(root, tuple(finder.items), finder.kept, _freed(item.path for item in finder.items))


class _Finder:
    """Collects items; each look adds its own."""

    def __init__(self, ledger: Ledger, alive: HandleAlive) -> None:
        self.ledger = ledger
        self.root = ledger.results
        self.items: list[Item] = []
        self.kept: dict[Path, str] = {}
        self._alive = alive
        self._mounts = mount_points(self.root)
        self._specs: dict[str, StageSpec] = {}  # on disk
        self._planned: dict[str, StageSpec] = {}  # in saved sweeps
        self._states: dict[str, StageState] = {}

    def look(self, checkpoints: Keep | None, unreferenced: bool) -> None:
        folders = list(self.ledger.folders())
        for folder in folders:
            with contextlib.suppress(LedgerError):
                self._specs[folder.id] = folder.spec()
            self._states[folder.id] = observed(folder, alive=self._alive)
        if unreferenced or checkpoints is not None:
            self._planned = _planned(self.ledger)
        followed = _followed(self.ledger)
        by_path = read_by_path(self._planned.values(), self.root)
        referenced = {*self._planned, *followed, *by_path} if unreferenced else None
        idle = True
        for folder in folders:
            if self._at_work(folder):
                idle = False
                self.kept[folder.path] = "at work"
            elif leads_out(folder.path, self.root):
                self.kept[folder.path] = "leads out of the results root"
            elif referenced is not None and folder.id not in referenced:
                self._add(folder.path, "no saved sweep refers to it", folder.id)
            else:
                self._leftovers(folder)
                if checkpoints is not None and folder.id in followed and folder.id not in self._planned:
                    self.kept[folder.path] = "a harness at work needs it"
                elif checkpoints is not None:
                    self._trained(folder, checkpoints)
        if (self.root / TRASH).is_dir():
            self._add(self.root / TRASH, "an earlier `toolrl gc` was interrupted")
        self._half_written(self.root)
        for sweep in filter(Path.is_dir, _entries(self.root / "sweeps")):
            self._half_written(sweep)
            self._half_written(sweep / HARNESSES)
        self._arrays()
        self._caches(idle, referenced)

    def _arrays(self) -> None:
        """What tells a cluster's job arrays what to run, where no job of them can begin any more."""
        waiting = [state for state in self._states.values() if state.status != "succeeded"]
        named = {(state.launcher or {}).get("array") for state in waiting}
        for path in _entries(self.root / ARRAYS):
            young = time.time() - path.lstat().st_mtime < ABANDONED
            if path.name not in named and not young:
                self._add(path, "no stage is a task of this job array any more")

    def _half_written(self, folder: Path) -> None:
        """Where no lease tells whether the writer lives, age does: such a file is renamed within seconds."""
        for path in _entries(folder):
            with contextlib.suppress(FileNotFoundError):  # renamed just now
                if _PARTIAL.match(path.name) and time.time() - path.lstat().st_mtime > ABANDONED:
                    self._add(path, "half-written by a process that was ended")

    def _at_work(self, folder: StageFolder) -> bool:
        if self._states[folder.id].active:
            return True
        lease = folder.lease()
        return lease is not None and lease_alive(self._alive)(lease) is not False

    def _add(self, path: Path, why: str, stage: str = "") -> None:
        if spared := why_spared(path, self.root, self._mounts):
            self.kept[path] = spared
        else:
            self.items.append(Item(path, why, stage, _freed([path])))

    def _leftovers(self, folder: StageFolder) -> None:
        place = folder.path / "checkpoints"
        for path in _entries(place):
            if _TORN.match(path.name):
                self._add(path, "a torn checkpoint that was set aside", folder.id)
        newest = newest_whole(place)
        for _, path in sorted(saved_steps(place)):
            fault = what_is_torn(path)
            if fault and newest is not None and _step(path) < _step(newest):
                self._add(path, f"the rest of a checkpoint that was removed ({fault})", folder.id)
        for path in _entries(folder.path / SUPERSEDED):
            self._add(path, "set aside when the stage was set back", folder.id)
        places = (folder.path, place, folder.path / "output", *folder.attempts())
        for path in (entry for where in places for entry in _entries(where)):
            if _PARTIAL.match(path.name):
                self._add(path, "half-written by a process that was ended", folder.id)

    def _trained(self, folder: StageFolder, keep: Keep) -> None:
        """Checkpoints of a finished training that nothing waits for."""
        if not trains(folder.kind) or self._states[folder.id].status != "succeeded":
            return
        place = folder.path / "checkpoints"
        if not place.is_dir():
            return
        known = {**self._planned, **self._specs}
        readers = [i for i, spec in known.items() if folder.id in spec.inputs.values()]
        waiting = [i for i in readers if not self._has_succeeded(i)]
        if not readers or waiting:
            self.kept[place] = f"{waiting[0]} needs it" if waiting else "it was never exported"
            return
        best = sorted((p for p in place.glob("best_step_*") if _step(p) >= 0), key=_step)
        said = place / f"best_step_{read_best(place).step}"  # an attempt that was killed may have left two
        best.sort(key=said.__eq__)
        newest = newest_whole(place)
        spared = best[-1:] if keep == "best" and best else [newest] if keep != "none" and newest else []
        listed = {item.path for item in self.items}
        single = sorted((p for p in place.glob("kept_step_*") if _step(p) >= 0), key=_step)
        for path in [*(p for _, p in sorted(saved_steps(place))), *best, *single]:
            if path not in spared and path not in listed:
                self._add(path, "the training has succeeded and its export has", folder.id)

    def _has_succeeded(self, stage_id: str) -> bool:
        """Whether a stage has succeeded and what it left is still there."""
        state, folder = self._states.get(stage_id), self.ledger.find(stage_id)
        if state is None or folder is None or state.status != "succeeded":
            return False
        return not what_is_gone(folder, state)

    def _caches(self, idle: bool, referenced: set[str] | None) -> None:
        used: set[Path] | None = None
        if referenced is not None:
            left = [spec for i, spec in self._specs.items() if i in referenced]
            used = used_caches(self.root, left)
        for path in (entry for name in CACHES for entry in _entries(self.root / name)):
            if path.name.startswith("."):
                if idle:
                    self._add(path, "half-written by a process that was ended")
                else:
                    self.kept[path] = "a stage at work may be writing it"
            elif used is not None and path not in used and _MADE.match(path.name):
                if idle:
                    self._add(path, "no stage uses it; it is made again where it is needed")
                else:
                    self.kept[path] = "a stage is at work"


def read_by_path(specs: Iterable[StageSpec], root: Path) -> set[str]:
    """Ids of the stages below whose folders a path lies that another one is given, such as an exported model."""
    place = root.resolve() / "stages"
    below = [
        Path(text).parts for spec in specs for text in _texts(spec.config) if text.startswith(f"{place}/")
    ]
    return {parts[len(place.parts) + 1] for parts in below if len(parts) > len(place.parts) + 1}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def _planned(ledger: Ledger) -> dict[str, StageSpec]:
    """id → stage of all saved sweeps.

    Raises:
        LedgerError: a plan cannot be read.
    """
    found: dict[str, StageSpec] = {}
    for path in sorted((ledger.results / "sweeps").glob("*")):
        if path.is_dir():
            if not (path / PLAN.name).exists():
                hint = "issue `toolrl sweep FILE` again, or remove the folder"
                raise LedgerError("has no plan, so nobody can say what it refers to", str(path), hint)
            found.update(SweepFolder(ledger.results, path.name).load().stages)
    return found


def _followed(ledger: Ledger) -> set[str]:
    """Ids of the stages that harnesses at work need, though another plan may have taken the place of theirs."""
    folders = (path for path in (ledger.results / "sweeps").glob("*") if path.is_dir())
    return set().union(*(SweepFolder(ledger.results, path.name).needed() for path in folders))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(path: Path) -> Iterator[os.stat_result]:
    """Of every file below, links not followed; what vanishes meanwhile is left out."""
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(FileNotFoundError):
            yield path.lstat()
        return
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield Path(folder, name).lstat()


def _freed(paths: Iterable[Path]) -> int:
    """Bytes that the disk gets back when all of `paths` are removed: a file counts with its last link."""
    seen: dict[tuple[int, int], tuple[int, int]] = {}
    for path in paths:
        for status in _files(path):
            key = (status.st_dev, status.st_ino)
            left, _ = seen.get(key, (status.st_nlink, 0))
            seen[key] = (left - 1, status.st_size)
    return sum(size for left, size in seen.values() if left <= 0)


def _step(path: Path) -> int:
    """The step that a checkpoint's name ends with; -1 where it ends otherwise, and so is no checkpoint's."""
    number = path.name.rpartition("_")[2]
    return int(number) if number.isdecimal() else -1


def to_json(
    garbage: Garbage,
    removed: Iterable[Item] = (),
    refused: Mapping[Path, str] | None = None,
    *,
    dry_run: bool = True,
) -> dict[str, Any]:
    """The document of `gc --json`; `refused` is path → why for what could not be removed."""
    gone = {item.path for item in removed}
    return {
        "schema": PRINTED,
        "results": str(garbage.results),
        "dry_run": dry_run,
        "bytes": garbage.bytes,
        "items": [
            {
                "path": str(item.path.relative_to(garbage.results)),
                "stage": item.stage or None,
                "why": item.why,
                "bytes": item.bytes,
                "removed": item.path in gone,
            }
            for item in garbage.items
        ],
        "kept": [
            {"path": str(path.relative_to(garbage.results)), "why": why}
            for path, why in {**garbage.kept, **(refused or {})}.items()
        ],
    }
