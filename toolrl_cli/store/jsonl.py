"""JSON lines that another process may be writing, or was writing when it died."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from toolrl_cli.store.documents import encodable
from toolrl_cli.store.files import open_to_read, refusal


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file, one a line; nothing when there is no such file.

    A line that is not a JSON object is left out: the last one of a killed writer is torn, and what it stood
    for is owed work.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        with open_to_read(path) as lines:
            yield from _objects(lines)
    except (FileNotFoundError, NotADirectoryError):
        return


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The same for those who show what there is: a folder in the file's place holds no lines either."""
    with contextlib.suppress(IsADirectoryError):
        yield from read(path)


def end(path: Path, *, size: int = 1 << 18) -> list[dict[str, Any]]:
    """The objects within the last `size` bytes, oldest first; nothing when there is no such file.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        with open_to_read(path) as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - size))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    return list(_objects(lines))


class Follower:
    """Reads what was added to a file since the last look; never a line that is not complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new(self) -> list[dict[str, Any]]:
        """The objects added since; from the start again when the file was replaced by a shorter one.

        Raises:
            LedgerError: the file cannot be read; the next look gives what this one would have.
        """
        try:
            with open_to_read(self._path) as file:
                if file.seek(0, os.SEEK_END) < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise refusal(error, self._path) from error
        complete = text[: text.rfind(b"\n") + 1]
        self._offset += len(complete)
        return list(_objects(complete.splitlines()))


def _objects(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):  # includes bytes that are no text
            continue
        if isinstance(value, dict):
            yield encodable(value, line)
