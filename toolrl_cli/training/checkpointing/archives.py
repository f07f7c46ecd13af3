"""Detects torn checkpoint files, written by `torch.save` or safetensors, without importing torch.

`torch.save` writes a zip file: `<name>/data.pkl`, a pickle that names every tensor's storage, and one member
`<name>/data/<key>` for each storage, uncompressed, with its CRC-32. The zip directory comes last.
"""

from __future__ import annotations

import errno
import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolrl_cli.training.models.safetensors_header import read_header

SMALL = 1 << 20
"""Members up to this size are always compared with their checksum; the index is one of them."""

_CHUNK = 1 << 22
_LOST = (errno.EIO, errno.EINVAL)  # bytes lost on the disk, or a negative offset
_BYTES = {"Float": 4, "Double": 8, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1,
          "Byte": 1, "Bool": 1, "Untyped": 1, "ComplexFloat": 8, "ComplexDouble": 16}  # fmt: skip
_TORN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, struct.error, RuntimeError)


def archive_is_torn(path: Path, *, read: bool = False) -> bool:
    """Whether a file of `torch.save` cannot be loaded.

    It is whole if the zip directory exists, every member lies within the file, the index is intact, and every
    storage named in the index is complete.

    Args:
        path: the file.
        read: also compare every tensor with its checksum; takes as long as loading the file.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the file cannot be read, so that its state is unknown.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _members_are_torn(archive, path.stat().st_size, read=read)
    except _TORN:
        return True
    except OSError as error:
        if error.errno in _LOST:
            return True
        raise


def tensors_are_torn(path: Path) -> bool:
    """Whether the length of a safetensors file differs from the one in its header.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        return read_header(path).size != path.stat().st_size
    except ValueError:
        return True


def _members_are_torn(archive: zipfile.ZipFile, size: int, *, read: bool) -> bool:
    members = {member.filename: member for member in archive.infolist()}
    index = next((name for name in members if name.rpartition("/")[2] == "data.pkl"), None)
    if index is None:
        return True
    for member in members.values():
        if member.header_offset + member.compress_size > size:
            return True
        if read or member.file_size <= SMALL or member.filename == index:
            with archive.open(member) as stream:  # the last read compares the checksum
                while stream.read(_CHUNK):
                    pass
    folder = index.removesuffix("data.pkl")
    for key, wanted in _storages(archive.read(index)):
        stored = members.get(f"{folder}data/{key}")
        if stored is None or wanted not in (None, stored.file_size):
            return True
    return False


def _storages(text: bytes) -> Iterator[tuple[str, int | None]]:
    """(key, bytes) of the storages that a pickle of `torch.save` names; bytes are None where unknown."""
    reader = _Index(io.BytesIO(text))
    try:
        reader.load()
    except Exception:  # the checksum is right, so the file is not at fault
        return
    for kind, key, count in reader.storages:
        width = _BYTES.get(kind.removesuffix("Storage"))
        yield key, None if width is None else width * count


class _Anything:
    """Replaces every class and function that a pickle names, so that nothing is imported or run."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Anything:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> _Anything:
        return self

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass

    def extend(self, values: Any) -> None:
        pass


class _Index(pickle.Unpickler):
    """Unpickler that records the storages that a pickle names.

    Attributes:
        storages: (storage class, key, number of elements).
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: list[tuple[str, str, int]] = []

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        return type(global_name.rpartition(".")[2], (_Anything,), {})

    def persistent_load(self, pid: Any) -> Any:
        word, kind, key, _, count = pid
        if word == "storage":
            self.storages.append((kind.__name__, str(key), int(count)))
        return _Anything()
