"""One writer per stage: a lease that is taken over only from an owner known to be dead.

The lease is the file `lease` in the stage's directory, made so that only one process can succeed (a hard link
to a complete file, which fails where one exists, as O_EXCL does). Taking over must be as exclusive: two takers
may both have read the same dead lease, and "remove it, then create mine" would let the second remove the
first's. So every lease has a token of its own, and whoever wants to bury the lease with token T has to create
`lease.T` first, again exclusively, holding the taker's own lease. Only then is it renamed over `lease`. A taker
that dies in between is buried in the same way through its own token: the owner is the end of the chain
lease → lease.T → lease.U. A token never comes back, so a taker that slept can see that it is too late.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.store.files import explained, read_whole, sweep_temporaries
from toolrl_cli.store.schemas import LEASE

NAME = "lease"
TORN_AFTER = 60.0  # seconds after which a lease that names no owner has nobody still writing it
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True)
class LeaseInfo:
    """What a lease file says.

    Attributes:
        owner: the process that holds it; None in a torn file.
        purpose: `launch` while a harness starts an attempt (a moment), `attempt` while one runs.
        attempt: number of the attempt, 0 for a launch.
        launcher: the launcher's handle of the owner, for owners on machines that cannot be seen from here.
        token: unique to this lease.
        acquired, heartbeat: unix seconds by the owner's clock; for people and to see it move, never compared
            with the own clock.
    """

    owner: ProcessId | None
    purpose: str
    attempt: int = 0
    launcher: Mapping[str, Any] = field(default_factory=dict)
    token: str = ""
    acquired: float = 0.0
    heartbeat: float = 0.0

    def encode(self) -> bytes:
        """The file's content; the same length for every heartbeat, so that one can be written in place."""
        owner = self.owner.to_json() if self.owner else None
        data = {
            "schema": LEASE.schema,
            "owner": owner,
            "purpose": self.purpose,
            "attempt": self.attempt,
            "launcher": dict(self.launcher),
            "token": self.token,
            "acquired": round(self.acquired, 3),
        }
        return f'{json.dumps(data)[:-1]}, "heartbeat": {self.heartbeat:.3f}}}\n'.encode()

    @classmethod
    def decode(cls, text: bytes) -> LeaseInfo | None:
        """Read what `encode` wrote; None for anything else.

        Raises:
            LedgerError: a later version wrote it.
        """
        try:
            data = LEASE.current(json.loads(text))
            return cls(
                ProcessId.from_json(data["owner"]),
                str(data["purpose"]),
                int(data["attempt"]),
                dict(data["launcher"]),
                str(data["token"]),
                float(data["acquired"]),
                float(data["heartbeat"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


def last_seen(info: LeaseInfo | None, attempt: int) -> float | None:
    """Unix seconds of the last heartbeat of an attempt that held this lease; None of any other."""
    ours = info is not None and info.purpose == "attempt" and info.attempt == attempt and info.heartbeat > 0
    return info.heartbeat if info is not None and ours else None


class LeaseHeld(Exception):
    """Another process has the lease, or may have it.

    Attributes:
        info: what its lease says.
        alive: True when the owner is known to run, None when that cannot be known from here.
    """

    def __init__(self, info: LeaseInfo, alive: bool | None) -> None:
        self.info = info
        self.alive = alive
        doing = f"runs attempt {info.attempt}" if info.purpose == "attempt" else "starts an attempt"
        word = f"{info.owner or 'an unknown process'} {doing}"
        super().__init__(word if alive else f"{word}, as far as can be seen from here")


Alive = Callable[[LeaseInfo], "bool | None"]


def owner_alive(info: LeaseInfo) -> bool | None:
    """Whether the owner runs, by pid and start time; None when it is on a machine that cannot be seen."""
    return info.owner.alive() if info.owner else None


class Lease:
    """A lease that this process holds; see `take`.

    Attributes:
        info: what it says.
        before: what that of the dead owner said from whom it was taken; None where nobody held it.
    """

    def __init__(self, folder: Path, info: LeaseInfo, before: LeaseInfo | None = None) -> None:
        self._path = folder / NAME
        self.info = info
        self.before = before
        # the descriptor stays with our own file, so a late heartbeat cannot touch the lease of a successor
        self._file: int | None = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)

    def beat(self) -> bool:
        """Write a heartbeat; False when the lease is no longer ours and the work has to end at once.

        Raises:
            LedgerError: the file system refuses.
        """
        if not self.mine():
            return False
        self.info = replace(self.info, heartbeat=time.time())
        with explained(self._path):
            if self._file is not None:
                os.pwrite(self._file, self.info.encode(), 0)
        return True

    def mine(self) -> bool:
        """Whether the lease file is still the one that was taken."""
        current = read(self._path.parent)
        return current is not None and current.token == self.info.token

    def release(self) -> None:
        """Give the lease back; more than once is harmless.

        Raises:
            LedgerError: the file system refuses.
        """
        if self._file is None:
            return
        os.close(self._file)
        self._file = None
        with explained(self._path):
            if self.mine():
                self._path.unlink(missing_ok=True)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def take(
    folder: Path,
    *,
    purpose: str,
    attempt: int = 0,
    launcher: Mapping[str, Any] | None = None,
    alive: Alive = owner_alive,
) -> Lease:
    """Take the lease of the stage in `folder`, from a dead owner if there is one.

    Args:
        folder: the stage's directory.
        purpose, attempt, launcher: see `LeaseInfo`.
        alive: tells whether an owner runs; for owners on other machines the launcher knows.

    Raises:
        LeaseHeld: the owner runs, or may run.
        LedgerError: the file system refuses.
    """
    now = time.time()
    mine = LeaseInfo(
        ProcessId.current(), purpose, attempt, dict(launcher or {}), os.urandom(16).hex(), now, now
    )
    before = None
    with explained(folder / NAME):
        while not _create(folder / NAME, mine):
            chain = _chain(folder)
            if not chain:
                continue  # released between the two looks
            tail = chain[-1]
            running = _owner_runs(folder, tail, alive)
            if running is not False:
                raise LeaseHeld(tail, running)
            if _bury(folder, tail, mine):
                before = tail
                break
        _sweep(folder)
        return Lease(folder, mine, before)


def read(folder: Path) -> LeaseInfo | None:
    """The lease as it stands, or None when nobody holds one.

    Raises:
        LedgerError: the file is there and the file system does not give it.
    """
    with explained(folder / NAME):
        chain = _chain(folder)
    return chain[-1] if chain else None


def _chain(folder: Path) -> list[LeaseInfo]:
    """The lease and the takers of it that have not yet renamed theirs; the last one counts."""
    chain: list[LeaseInfo] = []
    path = folder / NAME
    while True:
        try:
            info = LeaseInfo.decode(read_whole(path)) or _torn(path)
        except FileNotFoundError:
            return chain
        chain.append(info)
        path = folder / f"{NAME}.{info.token}"


def _torn(path: Path) -> LeaseInfo:
    """Stands for a lease that names nobody; the token is that of this very file."""
    status = path.stat()
    return LeaseInfo(None, "attempt", token=f"torn-{status.st_ino}-{status.st_mtime_ns}")


def _owner_runs(folder: Path, info: LeaseInfo, alive: Alive) -> bool | None:
    if info.owner is not None:
        return alive(info)
    # whoever made the file may still be about to write it; the file system's own clock says for how long
    probe = folder / f".{NAME}.{os.urandom(16).hex()}.tmp"
    handle = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    age = os.fstat(handle).st_mtime_ns - int(info.token.rpartition("-")[2])
    os.close(handle)
    probe.unlink(missing_ok=True)
    return False if age > TORN_AFTER * 1e9 else None


def _bury(folder: Path, dead: LeaseInfo, mine: LeaseInfo) -> bool:
    """Replace the lease of a dead owner; False when another taker was faster."""
    claim = folder / f"{NAME}.{dead.token}"
    if not _create(claim, mine):
        return False
    chain = _chain(folder)
    if not chain or chain[-1].token != mine.token:
        claim.unlink(missing_ok=True)
        return False
    # from here on nobody else can touch the chain: all owners before us are dead, and we are alive
    claim.replace(folder / NAME)
    return True


def _create(path: Path, info: LeaseInfo) -> bool:
    """Make a complete lease file unless there is one; whether it was made."""
    temporary = path.parent / f".{NAME}.{info.token}.tmp"
    while True:
        temporary.write_bytes(info.encode())
        try:
            os.link(temporary, path)
            return True
        except FileExistsError:
            # NFS asks again when an answer is lost, and is then told that the link it made exists
            return _links(temporary) == 2
        except FileNotFoundError:  # an owner swept it up
            continue
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            return _create_without_links(path, info)
        finally:
            temporary.unlink(missing_ok=True)


def _links(path: Path) -> int:
    try:
        return path.stat().st_nlink
    except FileNotFoundError:  # an owner swept it up
        return 0


def _create_without_links(path: Path, info: LeaseInfo) -> bool:
    """The same for file systems without hard links; a crash between the two calls leaves a torn lease."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(handle, info.encode())
    finally:
        os.close(handle)
    return True


def _sweep(folder: Path) -> None:
    """Remove what dead takers and writers left.

    A living taker whose file goes is too late anyway, and makes its temporary file again.
    """
    sweep_temporaries(folder)
    for entry in os.scandir(folder):
        if entry.name.startswith(f"{NAME}."):
            Path(entry.path).unlink(missing_ok=True)
