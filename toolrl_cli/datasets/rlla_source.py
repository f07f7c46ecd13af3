"""Downloads the released rlla files and verifies them."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from toolrl_cli.errors import SpecError
from toolrl_cli.store.files import replacing

COMMIT = "8cee13ec0ca72f0461da372a93a6fd8140dbb840"
SOURCE = f"https://raw.githubusercontent.com/qiancheng0/ToolRL/{COMMIT}"
TIMEOUT_SECONDS = 60.0  # seconds without a byte


@dataclass(frozen=True)
class SourceFile:
    """One released file.

    Attributes:
        name: file name in the folder that `rlla.load` reads.
        path: path in the repository (Apache-2.0).
        blob: git's id of the content at `COMMIT`.
    """

    name: str
    path: str
    blob: str


FILES = (
    SourceFile(
        "rlla_sft.json", "dataset/rlla_4k_raw/rlla_sft.json", "7264a450b031b23b6b54dae109bc81b7ff7b929f"
    ),
    SourceFile("test.parquet", "dataset/rlla_4k/test.parquet", "ccdac1cc0112fb54dd68cbc88d9abfe28ce3d749"),
    SourceFile("train.parquet", "dataset/rlla_4k/train.parquet", "0ddc730c556e4d26449dbdb55a1b28be824a8bfe"),
)
BY_HAND = "without a network: fetch the files of qiancheng0/ToolRL, dataset/, yourself and name their folder"


def download(
    folder: Path,
    source: str = SOURCE,
    files: tuple[SourceFile, ...] = FILES,
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Fetch the released files into `folder`; files that are already there and correct are kept.

    Args:
        folder: created if missing.
        source: URL of the repository's files at `COMMIT`.
        files: what to fetch.
        tell: called with one line for each file fetched.

    Returns:
        `folder`.

    Raises:
        SpecError: a file cannot be fetched, or its content is not that of `COMMIT`; it is then not in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        target = folder / file.name
        if target.is_file() and blob_id(target.read_bytes()) == file.blob:
            continue
        url = f"{source}/{file.path}"
        tell(f"downloading {url}")
        content = _fetch(url)
        if blob_id(content) != file.blob:
            raise SpecError("is not the file of the pinned commit", url, BY_HAND)
        with replacing(target) as temporary:
            temporary.write_bytes(content)
    return folder


def blob_id(content: bytes) -> str:
    """The id that git gives to a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            content: bytes = answer.read()
            return content
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise SpecError(f"cannot be downloaded: {getattr(error, 'reason', error)}", url, BY_HAND) from error
