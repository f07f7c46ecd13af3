"""Each kind of document has a schema number of its own; one of a later version is refused, never guessed at."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.report.builder import Tree
from tests.support.results_tree import finish, stage
from toolrl_cli.attempt.leftovers import end_leftovers
from toolrl_cli.datasets.prepare import read_manifest, write_dataset
from toolrl_cli.errors import LedgerError
from toolrl_cli.report.drawing.curves import CurveReader
from toolrl_cli.report.sources.saved_sweeps import read_sweep
from toolrl_cli.store import schemas
from toolrl_cli.store.files import write_json
from toolrl_cli.store.lease import NAME as LEASE_FILE
from toolrl_cli.store.lease import take
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.progress.metrics import merge_metrics
from toolrl_cli.store.progress.pace import read_pace
from toolrl_cli.store.schemas import Document
from toolrl_cli.training.checkpointing.best_checkpoint import read_best

LATER = 9


def test_each_document_has_a_number_of_its_own() -> None:
    found = [value for value in vars(schemas).values() if isinstance(value, Document)]
    assert len(found) >= 15 and len({document.name for document in found}) == len(found)


def test_a_document_without_a_file_or_torn_or_of_no_schema_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert Document("x.json").load(path) is None
    for text in ("", "{", "[]", "null", "{}", '{"schema": "one"}'):
        path.write_text(text)
        assert Document("x.json").load(path) is None


def test_an_earlier_document_is_read_in_todays_form_and_a_later_one_names_its_file(tmp_path: Path) -> None:
    document = Document("x.json", 2, {1: lambda old: {"new": old["old"]}})
    write_json(tmp_path / "x.json", {"schema": 1, "old": 4})
    assert document.load(tmp_path / "x.json") == {"schema": 2, "new": 4}
    write_json(tmp_path / "x.json", {"schema": 3})
    with pytest.raises(LedgerError, match=r"x\.json: x\.json is of schema 3, and this toolrl reads schema 2"):
        document.load(tmp_path / "x.json")


def later(folder: Path, document: Document) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / document.name
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, "schema": LATER}))
    return folder


READERS: list[tuple[Document, str, Callable[[StageFolder], Any]]] = [
    (schemas.SPEC, ".", lambda folder: folder.spec()),
    (schemas.SPEC, ".", lambda folder: folder.write_spec(stage("rl"))),
    (schemas.STATE, ".", lambda folder: folder.state()),
    (schemas.REWINDS, ".", lambda folder: merge_metrics(folder.path)),
    (schemas.BEST, "checkpoints", lambda folder: read_best(folder.path / "checkpoints")),
    (schemas.PACE, "attempts/1", lambda folder: read_pace(folder.attempt(1))),
    (schemas.PROCESSES, "attempts/1", end_leftovers),
]


@pytest.mark.parametrize(("document", "place", "read"), READERS)
def test_a_stages_document_of_a_later_version_is_refused(
    ledger: Ledger, document: Document, place: str, read: Callable[[StageFolder], Any]
) -> None:
    spec = stage("rl")
    finish(ledger, spec, pace=(1.0, 1.0))
    folder = ledger.folder(spec)
    read(folder)
    later(folder.path / place, document)
    with pytest.raises(LedgerError, match=f"is of schema {LATER}, and this toolrl reads schema 1"):
        read(folder)


def test_the_lease_of_a_later_version_is_never_taken_over(tmp_path: Path) -> None:
    """Read as torn it would count as nobody's after a while, and two would write."""
    take(tmp_path, purpose="attempt")
    path = tmp_path / LEASE_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": LATER}))
    os.utime(path, (0, 0))
    with pytest.raises(LedgerError, match=f"lease is of schema {LATER}"):
        take(tmp_path, purpose="launch")


def test_a_report_goes_on_past_rewinds_of_a_later_version_and_says_so(tree: Tree) -> None:
    tree.sweep().run("a").learned(0.0, 1.0).running("rl", 3)
    (trained,) = read_sweep(tree.write(), "demo").runs[0].training
    later(trained.directory, schemas.REWINDS)
    reader = CurveReader()
    assert reader.series(trained) == {}
    assert "is of schema 9" in reader.faults[trained.id]


def test_a_data_folder_of_a_later_version_is_made_again(tmp_path: Path) -> None:
    sizes = {"base": 4, "sft": 4, "train": 4, "val": 4, "benchmark": 4}
    write_dataset("toolworld", {"sizes": sizes}, tmp_path / "data")
    later(tmp_path / "data", schemas.DATASET)
    assert read_manifest(tmp_path / "data") is None
    assert write_dataset("toolworld", {"sizes": sizes}, tmp_path / "data") == read_manifest(tmp_path / "data")
