"""Reads the client's file of an offline run (`run-ID.wandb`), for which it ships no reader.

Seven bytes, then the blocks of a LevelDB log: 32,768 bytes each, of pieces with a header of checksum, length and kind.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

RECORDS: Any = wandb_internal_pb2  # made at import, so that no checker knows what is in it
START, BLOCK = 7, 32768
HEADER = struct.Struct("<IHB")
WHOLE, FIRST, LAST = 1, 2, 4  # kinds of pieces; 3: from the middle


def kept_rows(path: Path) -> int:
    """How many rows of the history a finished offline run holds; -1 for one that is torn or was not finished.

    Raises:
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    at, rows, ended, record = START, 0, False, b""
    while at + HEADER.size <= len(data):
        left = BLOCK - at % BLOCK
        if left < HEADER.size:
            at += left
            continue
        checksum, length, kind = HEADER.unpack_from(data, at)
        piece = data[at + HEADER.size : at + HEADER.size + length]
        if len(piece) < length or zlib.crc32(bytes([kind]) + piece) != checksum:
            return -1
        at += HEADER.size + length
        record = piece if kind in (WHOLE, FIRST) else record + piece
        if kind in (WHOLE, LAST):
            which = RECORDS.Record.FromString(record).WhichOneof("record_type")
            rows += which == "history"
            ended = ended or which == "exit"
    return rows if ended else -1
