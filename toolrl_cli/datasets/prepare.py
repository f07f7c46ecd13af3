"""Data folders: the parquet files a stage trains on, with a manifest that says what they are.

`write_dataset("toolworld", {"seed": 0}, folder)` leaves `base.parquet` and `sft.parquet` (SFT rows),
`train.parquet` and `val.parquet` (RL rows) and `manifest.json`. `"rlla"` leaves `sft`, `train` and `val`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.datasets import mapped_rows, own_rows, rlla, toolworld
from toolrl_cli.datasets.folders import build_folder
from toolrl_cli.datasets.verl_rows import Row, rl_row, sft_row, write_parquet
from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.store.schemas import DATASET

MANIFEST = DATASET.name
MADE = ("toolworld", "rlla")
"""Kinds that toolrl makes or brings; the others are the user's."""
KINDS = (*MADE, "verl", "jsonl")
_SFT_SPLITS: tuple[toolworld.Split, ...] = ("base", "sft")
_RL_SPLITS: tuple[toolworld.Split, ...] = ("train", "val")


@dataclass(frozen=True)
class FileEntry:
    """One parquet file of a data folder."""

    rows: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes:
        kind: `toolworld`, `rlla`, `verl` or `jsonl`.
        fingerprint: identifies the rows, see `dataset_fingerprint`.
        params: what the folder was made from.
        files: split → its file `<split>.parquet`.
        notes: warnings about the rows, for people.
    """

    kind: str
    fingerprint: str
    params: Mapping[str, Any]
    files: Mapping[str, FileEntry]
    notes: tuple[str, ...] = ()


def dataset_fingerprint(kind: str, params: Mapping[str, Any]) -> str:
    """The identity of a data folder's rows, computed without writing them.

    ToolWorld: the generator's version, seed and sizes. The others: the SHA-256 of the source files and the limits,
    whatever the path; of jsonl also the mapping.

    Raises:
        SpecError: unknown kind or parameter; rlla files missing.
    """
    _check(kind, params)
    if kind == "toolworld":
        return toolworld.fingerprint(_toolworld_params(params))
    if kind == "verl":
        return own_rows.fingerprint(params["files"], params.get("limit", {}))
    if kind == "jsonl":
        return mapped_rows.fingerprint(params["files"], params["fields"], params.get("limit", {}))
    return rlla.fingerprint(Path(params["path"]), params.get("limit", {}), rlla.own_file(params))


def write_dataset(kind: str, params: Mapping[str, Any], out_dir: Path) -> Manifest:
    """Create a data folder; one with the same fingerprint and intact files is left as it is.

    Args:
        kind: `toolworld`, `rlla`, `verl` or `jsonl`.
        params: `toolworld`: `seed` (0) and `sizes` (split → rows, default `toolworld.DEFAULT_SIZES`);
            `rlla`: `path` (folder with the released files), `limit` (split → most rows) and perhaps `sft4k` (a file
            of SFT rows of the user's own); `verl`: `files` (split → path) and `limit`; `jsonl`: these and `fields`.
        out_dir: the folder; replaced when it holds something else.

    Raises:
        SpecError: unknown kind or parameter; rlla files missing or not what they should be.
    """
    wanted = dataset_fingerprint(kind, params)

    def is_made(folder: Path) -> bool:
        found = read_manifest(folder)
        return found is not None and found.fingerprint == wanted and is_intact(folder, found)

    def fill(folder: Path) -> None:
        if kind == "toolworld":
            splits = _toolworld_rows(_toolworld_params(params))
            notes: tuple[str, ...] = ()
        elif kind == "verl":
            splits, notes = own_rows.load(params["files"], params.get("limit", {})), ()
        elif kind == "jsonl":
            splits, notes = mapped_rows.load(params["files"], params["fields"], params.get("limit", {}))
        else:
            splits, notes = rlla.load(Path(params["path"]), params.get("limit", {}), rlla.own_file(params))
        if dataset_fingerprint(kind, params) != wanted:
            raise SpecError(
                "its files were changed while they were read", f"data {kind}", "issue the command again"
            )
        files = {}
        for split, rows in splits.items():
            path = folder / f"{split}.parquet"
            write_parquet(rows, path)
            files[split] = FileEntry(len(rows), _sha256(path))
        manifest = Manifest(kind, wanted, dict(params), files, notes)
        (folder / MANIFEST).write_text(
            json.dumps(DATASET.stamped(asdict(manifest)), indent=1), encoding="utf-8"
        )

    build_folder(out_dir, fill, is_made)
    manifest = read_manifest(out_dir)
    assert manifest is not None, "build_folder leaves what is_made accepts"
    return manifest


def first_rows(kind: str, params: Mapping[str, Any], split: str, rows: int) -> list[Row]:
    """The first rows of a split, without making a folder of the data.

    Args:
        kind, params: as for `write_dataset`.
        split: `train` or `val`.
        rows: how many, at most.

    Raises:
        SpecError: as `write_dataset`.
    """
    _check(kind, params)
    rows = min(rows, (params.get("limit") or {}).get(split, rows))
    if kind == "toolworld":
        sizes: dict[str, int] = {**dict.fromkeys(_SFT_SPLITS + _RL_SPLITS, 1), split: rows}
        return _toolworld_rows({"seed": params.get("seed", 0), "sizes": sizes})[split]
    if kind == "verl":
        return own_rows.load({split: params["files"][split]}, {split: rows})[split]
    if kind == "jsonl":
        return mapped_rows.first_rows(Path(params["files"][split]), split, params["fields"], rows)
    loaded, _ = rlla.load(
        Path(params["path"]), {**params.get("limit", {}), split: rows}, rlla.own_file(params)
    )
    return loaded[split]


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a data folder; None where it is absent or invalid."""
    try:
        data = DATASET.load(folder / MANIFEST) or {}
        files = {split: FileEntry(**entry) for split, entry in data["files"].items()}
        return Manifest(data["kind"], data["fingerprint"], data["params"], files, tuple(data["notes"]))
    except (LedgerError, KeyError, TypeError, AttributeError):
        # absent, torn or of another schema: in each case the folder has to be created again
        return None


def _check(kind: str, params: Mapping[str, Any]) -> None:
    if kind not in KINDS:
        raise SpecError(f"unknown dataset {kind!r}", hint=f"one of {', '.join(KINDS)}")
    known = {
        "toolworld": {"seed", "sizes"},
        "rlla": {"path", "limit", "sft4k"},
        "verl": {"files", "limit"},
        "jsonl": {"files", "limit", "fields"},
    }[kind]
    for name in params:
        if name not in known:
            raise SpecError(
                f"unknown parameter {name!r} of dataset {kind!r}", hint=f"one of {', '.join(sorted(known))}"
            )
    if kind == "rlla" and not params.get("path"):
        raise SpecError("dataset 'rlla' has no path", where="data.path", hint="--set data.path=FOLDER")
    for key in ("sizes", "limit"):
        for split in params.get(key) or {}:
            splits = {
                "toolworld": toolworld.SPLITS,
                "rlla": (*rlla.SPLITS, rlla.OWN_SPLIT),
                "verl": own_rows.SPLITS,
                "jsonl": own_rows.SPLITS,
            }[kind]
            if split not in splits:
                raise SpecError(f"unknown split {split!r} in data.{key}", hint=f"one of {', '.join(splits)}")


def _toolworld_params(params: Mapping[str, Any]) -> dict[str, Any]:
    sizes = {**toolworld.DEFAULT_SIZES, **(params.get("sizes") or {})}
    return {
        "seed": params.get("seed", 0),
        "sizes": {split: sizes[split] for split in _SFT_SPLITS + _RL_SPLITS},
    }


def _toolworld_rows(params: Mapping[str, Any]) -> dict[str, list[Row]]:
    splits: dict[str, list[Row]] = {}
    for split in _SFT_SPLITS:
        examples = toolworld.generate(split, params["seed"], params["sizes"][split])
        splits[split] = [sft_row(example.system, example.user, example.answer) for example in examples]
    for split in _RL_SPLITS:
        examples = toolworld.generate(split, params["seed"], params["sizes"][split])
        splits[split] = [
            rl_row(
                example.system, example.user, example.answer, data_source="toolworld", index=index,
                extra={"split": split, "id": example.id, "category": example.category},
            )
            for index, example in enumerate(examples)
        ]  # fmt: skip
    return splits


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_intact(folder: Path, manifest: Manifest) -> bool:
    """Whether all files of a data folder exist and match its manifest."""
    paths = {folder / f"{split}.parquet": entry.sha256 for split, entry in manifest.files.items()}
    return all(path.is_file() and _sha256(path) == wanted for path, wanted in paths.items())
