"""Locks that let one attempt at a time use a slot of this machine, across harnesses and results roots.

Harnesses with different results roots do not know of each other, and two trainings on one GPU end in `oom`. So
each slot is a file in a folder of this machine and user, and the holder of the file's flock has the slot. A
harness takes the lock without waiting, passes the open file to the attempt that it starts, and closes its own
copy. The attempt's process then holds the slot until it ends for any reason, because the kernel releases the
lock: no lock can be left over, and as nobody waits for one slot while holding another, there is no deadlock.

The trainers below an attempt do not inherit the file, because one that was left running would keep the slot.
Instead the file contains the mark of the attempt's processes, and whoever finds the attempt dead ends the
processes that are left before the slot is used again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.errors import LaunchError
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.tree import kill, marked

FOLDER_VARIABLE = "TOOLRL_SLOTS"
"""Variable that names another folder, for containers that share their host's GPUs; it must be on this machine."""

_HINT = f"name a folder of yours on this machine in ${FOLDER_VARIABLE}"


def slots_folder() -> Path:
    """`$TOOLRL_SLOTS`, or else a folder of this user that all sessions and jobs on this machine share."""
    named = os.environ.get(FOLDER_VARIABLE)
    # not $TMPDIR or $XDG_RUNTIME_DIR: those may differ between two shells of one user
    return Path(named).expanduser() if named else Path(f"/tmp/toolrl-{os.getuid()}/slots")


@dataclass(frozen=True)
class Holder:
    """The holder of a slot according to its file: for messages, and to end what a dead attempt has left running.

    Attributes:
        by: whose attempt it is: `sweep NAME in RESULTS`.
        process: the attempt, or for a moment the harness that starts it.
        stage: id of the stage.
        mark: the mark of the attempt's processes; empty until it has one.
    """

    by: str
    process: ProcessId
    stage: str = ""
    mark: str = ""

    @classmethod
    def read(cls, descriptor: int) -> Holder | None:
        """The holder that the open file names; None where it is empty or incomplete."""
        try:
            data = json.loads(os.pread(descriptor, 65536, 0))
            process = ProcessId.from_json(data["process"])
            return cls(str(data["by"]), process, str(data["stage"]), str(data["mark"]))
        except (ValueError, KeyError, TypeError):
            return None

    def write(self, descriptor: int) -> None:
        """Write it to the open file; on a full disk the content is lost, but the lock still holds."""
        data: dict[str, Any] = {
            "by": self.by,
            "process": self.process.to_json(),
            "stage": self.stage,
            "mark": self.mark,
        }
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, (json.dumps(data) + "\n").encode(), 0)

    def end_orphans(self) -> None:
        """Kill the processes that a dead attempt has left running."""
        if self.mark and self.process.alive() is False:
            kill(marked(self.mark))

    def __str__(self) -> str:
        return self.by  # not the stage: a waiter waits for many stages of a sweep


class SlotLocks:
    """Locks slots of this machine for attempts that one harness starts.

    Args:
        by: shown to others as the holder: `sweep NAME in RESULTS`.
        folder: where the files are; None for `slots_folder()`.

    Raises:
        LaunchError: the folder cannot be used.
    """

    def __init__(self, by: str, folder: Path | None = None) -> None:
        self._by = by
        self._folder = slots_folder() if folder is None else folder
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = self._folder.lstat()
        except OSError as error:
            what = f"slots cannot be locked: {error.strerror}"
            raise LaunchError(what, str(self._folder), _HINT) from error
        if not stat.S_ISDIR(owner.st_mode) or owner.st_uid != os.getuid():
            raise LaunchError("slots cannot be locked: not a folder of yours", str(self._folder), _HINT)

    def elsewhere(self, slots: Iterable[str]) -> dict[str, str]:
        """Slot → its holder in a few words, for those of these slots that are in use now.

        Raises:
            LaunchError: the folder's file system has no locks.
        """
        return {slot: who for slot in slots if (who := self._holder(slot))}

    def take(self, slots: Sequence[str]) -> dict[str, int] | None:
        """Lock all of these slots without waiting: slot → open file with the lock; None if one of them is in use.

        Raises:
            LaunchError: the folder cannot be used.
        """
        taken: dict[str, int] = {}
        me = ProcessId.current()
        for slot in slots:
            descriptor = self._lock(slot)
            if descriptor is None:
                for earlier in taken.values():
                    os.close(earlier)
                return None
            Holder(self._by, me).write(descriptor)
            taken[slot] = descriptor
        return taken

    def _path(self, slot: str) -> Path:
        return self._folder / re.sub(r"[^\w.-]", "_", slot)

    def _lock(self, slot: str) -> int | None:
        path = self._path(slot)
        while True:
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise _refusal(error, path) from error
            if not _flock(descriptor, fcntl.LOCK_EX, path):
                os.close(descriptor)
                return None
            if _is_at(descriptor, path):
                break
            os.close(descriptor)  # the file was removed between the two calls
        earlier = Holder.read(descriptor)
        if earlier is not None:
            earlier.end_orphans()
        return descriptor

    def _holder(self, slot: str) -> str:
        """The holder of the slot; empty when it is free."""
        path = self._path(slot)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # never used; `take` reports any other fault
            return ""
        try:
            if _flock(descriptor, fcntl.LOCK_SH, path):
                return ""
            holder = Holder.read(descriptor)
            if holder is None:
                return "another attempt"
            holder.end_orphans()  # the attempt is dead and a fork of it still has the file
            return str(holder)
        finally:
            os.close(descriptor)


class HeldSlots:
    """The slots that this attempt holds.

    Args:
        descriptors: the open files that its harness passed on; none for an attempt without slots.
    """

    def __init__(self, descriptors: Iterable[int] = ()) -> None:
        self._descriptors = tuple(descriptors)
        for descriptor in self._descriptors:
            os.set_inheritable(descriptor, False)

    def sign(self, stage: str, mark: str) -> None:
        """Write this process into the files as the holder."""
        for descriptor in self._descriptors:
            before = Holder.read(descriptor)
            by = before.by if before else "another attempt"
            Holder(by, ProcessId.current(), stage, mark).write(descriptor)

    def touch(self) -> None:
        """Renew the files' times, so that cleaners of `/tmp` keep them."""
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                os.utime(descriptor)

    def clear(self) -> None:
        """Empty the files, because nothing is left running; the locks end with the process."""
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)


@contextlib.contextmanager
def handed_over(descriptors: Mapping[str, int]) -> Iterator[None]:
    """Close this process's copies on exit; a process that inherited one keeps the slot."""
    try:
        yield
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)


def _flock(descriptor: int, how: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # a network file system without a lock server
        raise _refusal(error, path) from error
    return True


def _refusal(error: OSError, path: Path) -> LaunchError:
    return LaunchError(f"slot cannot be locked: {error.strerror}", str(path), _HINT)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
