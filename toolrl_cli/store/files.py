"""Files that a kill, a full disk or a second reader never leaves half-written."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from toolrl_cli.errors import LedgerError

_HINTS = {
    errno.ENOSPC: "free some space and issue the same command again; it goes on where it was",
    errno.EDQUOT: "your quota is used up; free some space and issue the same command again",
    errno.EFBIG: "the limit on file sizes is reached (`ulimit -f`); raise it and issue the same command again",
    errno.EROFS: "choose a results folder that can be written with --results",
    errno.EACCES: "choose a results folder that you may read and write with --results",
    errno.EPERM: "choose a results folder that you may read and write with --results",
    errno.EIO: "the disk or the network file system reports a fault; look at `dmesg`, then issue it again",
    errno.ESTALE: "the network file system lost sight of it; issue the same command again",
    errno.EEXIST: "a file, or a link that leads nowhere, is in the way of a folder; move it or use another --results",
    errno.ENOTDIR: "a file is in the way of a folder; choose another folder with --results",
}

STALE_LOOKS = 3
READ, READ_ON = 1 << 16, 1 << 22  # bytes at first, and at a time of what is larger

Writer = Callable[[int, "bytes | memoryview"], int]


def write_text(path: Path, text: str, *, durable: bool = True, write: Writer = os.write) -> None:
    """Put `text` into `path` so that every reader sees the old content or the new, whatever happens.

    Args:
        path: the file; its folder exists.
        text: its new content.
        durable: after a power cut, too, it is the one or the other, and whole (fsync before the rename).
        write: the system call, for tests of failing disks.

    Raises:
        LedgerError: the file system refuses; the old content stays and no temporary file is left.
    """
    with explained(path):
        temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        try:
            try:
                _write_all(handle, text.encode("utf-8"), write)
                if durable:
                    os.fsync(handle)
            finally:
                os.close(handle)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def make_durable(*folders: Path) -> None:
    """Have the disk hold the files below folders, as they are now, but for those of others that cannot be opened.

    Raises:
        LedgerError: the file system refuses.
    """
    for top in folders:
        with explained(top), contextlib.suppress(FileNotFoundError):
            _fsync_below(top)


def _fsync_below(folder: Path) -> None:
    try:
        entries = [*os.scandir(folder)]
    except PermissionError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            _fsync_below(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):  # and no pipe or link
            _fsync(entry.path)
    _fsync(folder)


def _fsync(path: str | Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # this file system has no such thing
            raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, for a library that writes files itself; what is there in the end takes its place.

    Every writer has a name of its own, so that of several at once each leaves a whole file.

    Args:
        path: the file; its folder exists.

    Raises:
        OSError: the file system refuses; the old content stays.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def create_text(path: Path, text: str) -> bool:
    """Put `text` into a new file, whole; whether this call made it.

    Raises:
        OSError: the file system refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def write_json(path: Path, data: Any, *, durable: bool = True) -> None:
    """`write_text` of `data` as indented JSON, for reading with `cat`.

    Raises:
        LedgerError: the file system refuses.
    """
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n", durable=durable)


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """`write_text` of a document as `document_text` has it.

    Raises:
        LedgerError: the file system refuses.
    """
    write_text(path, document_text(document))


def document_text(document: Mapping[str, Any]) -> str:
    """A JSON document with a line for each entry of the lists at its top, which people can search line by line."""
    lines = []
    one_line = json.JSONEncoder(ensure_ascii=False).encode
    for key, value in document.items():
        if isinstance(value, list) and value:
            entries = ",\n    ".join(map(one_line, value))
            text = f"[\n    {entries}\n  ]"
        else:
            text = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n  ")
        lines.append(f"  {one_line(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n" if lines else "{}\n"


def read_json(path: Path | str) -> dict[str, Any] | None:
    """The JSON object in `path`; None when there is no such file or it holds anything else (torn, edited).

    Raises:
        LedgerError: the file is there and the file system does not give it.
    """
    with explained(path):
        try:
            data = json.loads(read_whole(path))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):  # includes UnicodeDecodeError
            return None
    return data if isinstance(data, dict) else None


def make_folder(path: Path) -> None:
    """Create `path` and its parents where they are missing.

    Raises:
        LedgerError: the file system refuses.
    """
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)


def sweep_temporaries(folder: Path) -> None:
    """Remove what killed writers left in `folder`; nobody else may be writing there.

    Raises:
        LedgerError: the file system refuses.
    """
    with explained(folder):
        for entry in os.scandir(folder):
            if entry.name.startswith(".") and entry.name.endswith(".tmp"):
                Path(entry.path).unlink(missing_ok=True)


class explained:
    """Turn what the file system refuses into one line: what, where, what to do.

    A class, because a generator takes four times as long, which tells on ten thousand stages.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path | str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise refusal(error, self._path) from error


def refusal(error: OSError, path: Path | str) -> LedgerError:
    """What the file system refuses, with what to do about it."""
    return LedgerError(error.strerror or str(error), str(path), _HINTS.get(error.errno or 0, ""))


def read_whole(path: Path | str) -> bytes:
    """All of a file; on NFS one that is replaced while it is read goes stale, and the next look finds the new.

    Raises:
        OSError: it cannot be read, or is a pipe, a device or a folder.
    """
    for _ in range(STALE_LOOKS):
        try:
            return _bytes_of(path)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return _bytes_of(path)


def open_to_read(path: Path) -> BinaryIO:
    """Open a file in a results tree; what stands in its place and is none is never waited for.

    Raises:
        OSError: it cannot be opened, or is a pipe, a device or a folder.
    """
    handle = _handle(path)
    try:
        return os.fdopen(handle, "rb")
    except OSError:
        os.close(handle)
        raise


def _handle(path: Path | str) -> int:
    # a pipe without a writer would wait for one
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(
            code, os.strerror(code) if stat.S_ISDIR(mode) else "a pipe or a device, and no file", str(path)
        )
    return handle


def _bytes_of(path: Path | str) -> bytes:
    """`path.read_bytes()` at half the cost, for ten thousand small files at a time."""
    handle = _handle(path)
    try:
        parts = [os.read(handle, READ)]
        if len(parts[0]) == READ:  # less is all there is
            while part := os.read(handle, READ_ON):
                parts.append(part)
        return b"".join(parts)
    finally:
        os.close(handle)


def _write_all(handle: int, data: bytes, write: Writer) -> None:
    view = memoryview(data)
    while view:
        view = view[write(handle, view) :]
