"""SHA-256 of large files, remembered from one command to the next.

A digest is remembered in the user's cache folder (`verdicts.cache_folder`) with all that the file system says of the
file: its real path, size, times of modification and of change, and inode. One that differs in any is read again. The
cache may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from toolrl_cli.log import LOG
from toolrl_cli.training.checking.verdicts import append, cache_folder

NAME = "file_digests.jsonl"
SMALL = 1 << 20
"""Bytes up to which a file is read each time."""
TOLD = 1 << 30
"""Bytes from which reading takes so long that a person is told."""
SETTLED_NS = 2_000_000_000
"""A file that was written more recently may be written again within the same tick of its clock."""

Mark = tuple[str, int, int, int, int]
"""Real path, size, mtime and ctime in nanoseconds, inode."""


def digests(files: Iterable[Path]) -> list[str]:
    """The SHA-256 of each file, in hex digits.

    Raises:
        OSError: one cannot be read.
    """
    marks = {file: _mark(file) for file in files}
    known = _known() if any(mark[1] > SMALL for mark in marks.values()) else {}
    new = {file: mark for file, mark in marks.items() if mark not in known}
    size = sum(mark[1] for mark in new.values())
    if size >= TOLD:
        folder = next(iter(new)).parent
        LOG.info("%s: reading %.1f GiB of weights, to tell them from others; once", folder, size / (1 << 30))
    read = {mark: _read(file) for file, mark in new.items()}
    settled = {
        mark: digest
        for (file, mark), digest in zip(new.items(), read.values(), strict=True)
        if mark[1] > SMALL and time.time_ns() - max(mark[2:4]) > SETTLED_NS and _mark(file) == mark
    }
    if settled:
        append(NAME, "".join(json.dumps([digest, *mark]) + "\n" for mark, digest in settled.items()))
    return [known.get(mark) or read[mark] for mark in marks.values()]


def digest_of(folder: Path, files: Sequence[Path]) -> str:
    """One digest of several files of a folder, with their places in it.

    Raises:
        OSError: one cannot be read.
    """
    whole = hashlib.sha256()
    for file, digest in zip(files, digests(files), strict=True):
        whole.update(f"{file.relative_to(folder).as_posix()}\0{digest}\n".encode())
    return whole.hexdigest()


def _mark(file: Path) -> Mark:
    real = file.resolve()
    found = real.stat()
    return (str(real), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _read(file: Path) -> str:
    whole = hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(SMALL):
            whole.update(piece)
    return whole.hexdigest()


def _known() -> dict[Mark, str]:
    found: dict[Mark, str] = {}
    try:
        lines = (cache_folder() / NAME).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return found
    for line in lines:
        try:
            digest, path, *numbers = json.loads(line)
            size, mtime, ctime, inode = map(int, numbers)
            found[str(path), size, mtime, ctime, inode] = str(digest)
        except (ValueError, TypeError):  # a torn line: the file is read again
            continue
    return found
