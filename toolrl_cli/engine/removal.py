"""The removal of what `garbage` found: never outside of the results root, never of a stage at work."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from toolrl_cli.engine import lease as leases
from toolrl_cli.engine.aftermath import observed
from toolrl_cli.engine.files import explained, make_folder
from toolrl_cli.engine.launchers.base import HandleAlive, lease_alive, local_alive
from toolrl_cli.engine.lease import LeaseHeld
from toolrl_cli.engine.ledger import Ledger

TRASH = ".trash"


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
        What was removed, and path → why for what was not: its stage has begun to work meanwhile, or it leads
        out of the results root.

    Raises:
        LedgerError: the file system refuses.
    """
    removed: list[Item] = []
    kept: dict[Path, str] = {}
    for item in garbage.items:
        why = _remove(item, garbage.results, alive)
        if why:
            kept[item.path] = why
        else:
            removed.append(item)
    trash = garbage.results / TRASH
    with explained(trash), contextlib.suppress(FileNotFoundError):
        trash.rmdir()
    return removed, kept


def leads_out(path: Path, root: Path) -> bool:
    """Whether `path` is a link, or lies outside of `root` once links on the way are resolved."""
    real = Path(os.path.realpath(path.parent)) / path.name
    return path.is_symlink() or real == root or not real.is_relative_to(root)


def _remove(item: Item, root: Path, alive: HandleAlive) -> str:
    """Remove one item; why not, where it stays."""
    if leads_out(item.path, root):
        return "leads out of the results root"
    if not item.stage:
        with explained(item.path):
            _delete(item.path, root)
        return ""
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
        with explained(item.path):
            _delete(item.path, root)
    return ""


def _delete(path: Path, root: Path) -> None:
    """Rename it away first, so that it goes at once, and then remove it; a kill leaves it in the trash."""
    trash = root / TRASH
    if path != trash:
        make_folder(trash)
        away = trash / os.urandom(8).hex()
        try:
            path.rename(away)
            path = away
        except FileNotFoundError:
            return
        except OSError:  # another file system is mounted here
            pass
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
