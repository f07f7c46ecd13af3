"""The removal of what `garbage` found: never outside of the results root, never of a stage at work."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from toolrl_cli.errors import LedgerError
from toolrl_cli.processes.process_id import LINUX
from toolrl_cli.store import lease as leases
from toolrl_cli.store.files import make_folder
from toolrl_cli.store.lease import LeaseHeld
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.liveness import HandleAlive, lease_alive, local_alive, observed

TRASH = ".trash"
MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Item:
    """Something that may go.

    Attributes:
        path: a file or directory under the results root.
        why: in one clause.
        stage: id of the stage it belongs to; empty for what belongs to none.
        bytes: disk that its removal alone gives back; files with links elsewhere give none.
    """

    path: Path
    why: str
    stage: str = ""
    bytes: int = 0


@dataclass(frozen=True)
class Garbage:
    """What was found.

    Attributes:
        results: the real path of the results root.
        items: what may go, by stage.
        kept: path → why it stays although it looks like something that may go.
        bytes: disk that removing all of it gives back; less than or more than the sum where files are linked.
    """

    results: Path
    items: tuple[Item, ...]
    kept: dict[Path, str] = field(default_factory=dict)
    bytes: int = 0


def remove(garbage: Garbage, *, alive: HandleAlive = local_alive) -> tuple[list[Item], dict[Path, str]]:
    """Remove what was found.

    Returns:
        What was removed, and path → why for what was not: its stage has begun to work meanwhile, it leads out of
        the results root, something is mounted there, or the file system refuses.
    """
    removed: list[Item] = []
    kept: dict[Path, str] = {}
    for item in garbage.items:
        try:
            why = _remove(item, garbage.results, alive)
        except (OSError, LedgerError) as error:  # no reason to leave all the rest
            why = _reason(error)
        if why:
            kept[item.path] = why
        else:
            removed.append(item)
    with contextlib.suppress(OSError):  # something stays in it, and was told
        (garbage.results / TRASH).rmdir()
    return removed, kept


def _reason(error: OSError | LedgerError) -> str:
    if isinstance(error, LedgerError):
        return f"{error.what}: {error.where}"
    return f"{error.strerror}: {error.filename}"


def leads_out(path: Path, root: Path) -> bool:
    """Whether `path` is a link, or lies outside of `root` once links on the way are resolved."""
    real = Path(os.path.realpath(path.parent)) / path.name
    return path.is_symlink() or real == root or not real.is_relative_to(root)


def why_spared(path: Path, root: Path, mounts: Collection[Path]) -> str:
    """Why `path` must stay whatever it is; empty where it may go.

    Args:
        path: below `root`.
        root: the real path of the results root.
        mounts: see `mount_points`.
    """
    if leads_out(path, root):
        return "leads out of the results root"
    mounted = next((mount for mount in mounts if mount.is_relative_to(path)), None)
    return f"{mounted.relative_to(root)} is mounted from elsewhere" if mounted else ""


def mount_points(root: Path) -> list[Path]:
    """Where below the results root other file systems are mounted, or folders from elsewhere.

    Raises:
        OSError: the system does not say.
    """
    if LINUX:  # the only place that tells of a folder mounted on another of the same file system
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        points = [re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split()[4]) for line in lines]
    else:
        import psutil

        points = [partition.mountpoint for partition in psutil.disk_partitions(all=True)]
    return [path for path in map(Path, points) if path != root and path.is_relative_to(root)]


def _remove(item: Item, root: Path, alive: HandleAlive) -> str:
    """Remove one item; why not, where it stays.

    Raises:
        OSError, LedgerError: the file system refuses.
    """
    if why := why_spared(item.path, root, mount_points(root)):
        return why
    if not item.stage:
        return _delete(item.path, root)
    folder = Ledger(root).find(item.stage)
    if folder is None:
        return ""
    try:
        lease = leases.take(folder.path, purpose="launch", alive=lease_alive(alive))
    except LeaseHeld:
        return "its stage is at work"
    with lease:
        if observed(folder, alive=alive).active:
            return "its stage is at work"
        return _delete(item.path, root)


def _delete(path: Path, root: Path) -> str:
    """Rename it away first, so that it goes at once, and then remove it; a kill leaves it in the trash.

    Returns:
        Why a part of it stays, if one does.

    Raises:
        OSError, LedgerError: the file system refuses; then it is as it was.
    """
    trash = root / TRASH
    if path != trash:
        make_folder(trash)
        away = trash / os.urandom(8).hex()
        try:
            path.rename(away)
            path = away
        except FileNotFoundError:
            return ""
        except OSError as error:
            if error.errno != errno.EXDEV:  # it lies in a file system that is mounted below the root
                raise
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return ""
    try:
        shutil.rmtree(path)
    except OSError as error:
        shutil.rmtree(path, ignore_errors=True)  # what cannot be removed must not keep the rest
        return f"a part of it cannot be removed: {_reason(error)}"
    return ""
