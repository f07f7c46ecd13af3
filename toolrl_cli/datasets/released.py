"""Released data sets: where each is published, and a folder of its files, downloaded or copied, and verified.

Most are of the repository of ToolRL (arXiv 2504.13958, Apache-2.0) at one commit; git's ids of the files' contents are
their checksums. Those of `datasets.evaluators` come in a package, with the code that scores them.
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolrl_cli.datasets import evaluators
from toolrl_cli.datasets.evaluators import EVALUATORS
from toolrl_cli.errors import SpecError
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.store.files import replacing

COMMIT = "8cee13ec0ca72f0461da372a93a6fd8140dbb840"
SOURCE = f"https://raw.githubusercontent.com/qiancheng0/ToolRL/{COMMIT}"
LICENCE = "Apache-2.0"
TIMEOUT_SECONDS = 60.0
"""Seconds without a byte."""


@dataclass(frozen=True)
class SourceFile:
    """One released file.

    Attributes:
        name: file name in the folder.
        path: path in the repository.
        blob: git's id of the content at `COMMIT`.
    """

    name: str
    path: str
    blob: str

    def is_at(self, path: Path) -> bool:
        """Whether a file is this one, to the byte."""
        return path.is_file() and blob_id(path.read_bytes()) == self.blob


RELEASED: Mapping[str, tuple[SourceFile, ...]] = {
    "rlla": (
        SourceFile(
            "rlla_sft.json", "dataset/rlla_4k_raw/rlla_sft.json", "7264a450b031b23b6b54dae109bc81b7ff7b929f"
        ),
        SourceFile(
            "test.parquet", "dataset/rlla_4k/test.parquet", "ccdac1cc0112fb54dd68cbc88d9abfe28ce3d749"
        ),
        SourceFile(
            "train.parquet", "dataset/rlla_4k/train.parquet", "0ddc730c556e4d26449dbdb55a1b28be824a8bfe"
        ),
    ),
    "api_bank": tuple(
        SourceFile(name, f"benchmarks/API-Bank/{name}", blob)
        for name, blob in (
            ("level-1-api_processed.json", "cea552d0ea2215754c26039376eff04ae5d87624"),
            ("level-2-api_processed.json", "630e6ff5e5e5b3482ac7041a83880261a247a195"),
            ("level-3-api_processed.json", "5d80fb964e2d04ad71673d3d621933ab33f97c2d"),
        )
    ),
    "bamboogle": (
        SourceFile("data.json", "benchmarks/Bamboogle/data.json", "7f2a870a2f8cd807ea37b4dc79d7dbdc9a334bf0"),
    ),
    **dict.fromkeys(EVALUATORS, ()),
}
"""Name of a data set → its files; none are named of those that come in an evaluator's package."""


def released_folder(name: str, results: Path) -> Path:
    """Where the files of a released data set are kept under a results root."""
    return results / "data" / f"{name}-released"


def missing(name: str, folder: Path) -> str:
    """What a folder lacks of a released data set, in a few words; empty where all is there and right.

    Raises:
        SpecError: no data set of that name is released.
    """
    if name in EVALUATORS:
        return evaluators.missing(EVALUATORS[name], folder)
    for file in _files(name):
        path = folder / file.name
        if not path.is_file():
            return f"{file.name} is missing"
        if not file.is_at(path):
            return f"{file.name} is not the released file"
    return ""


def bring(
    name: str,
    folder: Path,
    origin: Path | None = None,
    *,
    source: str = "",
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """Put the files of a released data set into a folder; what is there and right is kept.

    Args:
        name: of the data set.
        folder: made if it is missing.
        origin: a local folder that holds the files, or a checkout of the repository, or of an evaluator its wheels;
            None: they are downloaded.
        source: URL of the repository's files at `COMMIT`; empty for `SOURCE`.
        tell: called with one line for each file that is downloaded, or was another.

    Returns:
        `folder`.

    Raises:
        SpecError: no data set of that name is released; a file cannot be had, or its content is not that of `COMMIT`.
            Such a file is then not in the folder, and a folder that would stay empty is not there.
    """
    if name in EVALUATORS:
        return evaluators.bring(EVALUATORS[name], folder, origin, tell=tell)
    for file in _files(name):
        target = folder / file.name
        if file.is_at(target):
            continue
        if target.is_file():
            tell(f"{target} is not the file of the pinned commit, and is replaced")
        if origin is None:
            where = f"{source or SOURCE}/{file.path}"
            tell(f"downloading {where}")
            content = _fetch(where, name)
        else:
            found = next((p for p in (origin / file.name, origin / file.path) if p.is_file()), None)
            if found is None:
                raise SpecError(f"holds no {file.name}", str(origin), _by_hand(name))
            where, content = str(found), found.read_bytes()
        if blob_id(content) != file.blob:
            raise SpecError("is not the file of the pinned commit", where, _by_hand(name))
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            temporary.write_bytes(content)
    return folder


def origin_of(name: str) -> str:
    """Where a released data set is published, in a few words."""
    if name in EVALUATORS:
        return f"{EVALUATORS[name].package} {EVALUATORS[name].release} on the package index"
    return f"github.com/qiancheng0/ToolRL at {COMMIT[:12]}"


def blob_id(content: bytes) -> str:
    """The id that git gives to a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _files(name: str) -> tuple[SourceFile, ...]:
    if name not in RELEASED:
        raise SpecError(f"no released data {name!r}", "data prepare", hint_for(name, RELEASED, "data"))
    return RELEASED[name]


def _by_hand(name: str) -> str:
    return (
        f"fetch the files of github.com/qiancheng0/ToolRL at {COMMIT[:12]} on another machine; then "
        f"toolrl data prepare {name} --from FOLDER"
    )


def _fetch(url: str, name: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            content: bytes = answer.read()
            return content
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise SpecError(f"cannot be downloaded: {reason}", url, _by_hand(name)) from error
