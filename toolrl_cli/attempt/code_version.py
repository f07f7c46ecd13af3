"""Which code makes a result: toolrl's version, its commit, and a digest of each room that works in a stage.

None of it is part of a stage's identity: a result stays a result when the code changes. It is written down with
every attempt (`environment.json`), so that `toolrl plan` can say that the code has changed since.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from functools import lru_cache
from pathlib import Path

import toolrl_cli

PACKAGE = Path(toolrl_cli.__file__).parent
ROOMS = ("rewards", "datasets", "training", "benchmarks")
SHORT = 12
_COMMIT = re.compile(r"^[0-9a-f]{40}([0-9a-f]{24})?$")


@lru_cache(maxsize=1)
def code_identity() -> dict[str, str]:
    """The code as it is now: room → digest, and `commit` where toolrl runs from a git checkout."""
    found = {room: room_digest(PACKAGE / room) for room in ROOMS}
    commit = checkout_commit(PACKAGE.parent)
    return {**found, "commit": commit} if commit else found


def room_digest(folder: Path) -> str:
    """The first 12 hex digits of the SHA-256 over names and contents of all Python files of a folder."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).digest()
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + content)
    return whole.hexdigest()[:SHORT]


def checkout_commit(root: Path) -> str | None:
    """The commit that is checked out at `root`; None where it is no git checkout (an installed package).

    Read from git's own files, because an attempt starts no process for it.
    """
    git = root / ".git"
    try:
        if git.is_file():  # a linked work tree: `gitdir: PATH`
            git = (root / git.read_text(encoding="utf-8").partition(":")[2].strip()).resolve()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    if not head.startswith("ref:"):
        return head[:SHORT] if _COMMIT.match(head) else None
    return _reference(git, head.partition(":")[2].strip())


def _reference(git: Path, name: str) -> str | None:
    common = git
    with contextlib.suppress(OSError, UnicodeDecodeError):  # the main work tree has no such file
        common = (git / (git / "commondir").read_text(encoding="utf-8").strip()).resolve()
    for place in (git, common):
        try:
            commit = (place / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            continue
        return commit[:SHORT] if _COMMIT.match(commit) else None
    try:
        lines = (common / "packed-refs").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    found = [line.split()[0] for line in lines if line.endswith(f" {name}")]
    return found[0][:SHORT] if found and _COMMIT.match(found[0]) else None
