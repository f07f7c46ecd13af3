"""What stands where a file should be, and is none: it is told, and never waited for."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from toolrl_cli.attempt.classify import tail
from toolrl_cli.errors import LedgerError
from toolrl_cli.store.documents import number, read_document
from toolrl_cli.store.files import read_json
from toolrl_cli.store.jsonl import Follower, end, read
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.progress.rewinds import read_rewinds
from toolrl_cli.store.scores import ITEMS
from toolrl_cli.store.sweep_folder import SweepFolder

READERS: list[tuple[str, Callable[[Path], Any]]] = [
    ("scores.json", lambda path: read_document(path)[1] or ""),
    ("state.json", read_json),
    (ITEMS, lambda path: list(read(path))),
    ("metrics.jsonl", end),
    ("metrics.jsonl", lambda path: Follower(path).new()),
    ("rewinds.json", lambda path: read_rewinds(path.parent)),
    ("log.txt", tail),
]


@pytest.fixture
def limited() -> Iterator[None]:
    """A test that waits for a writer that never comes fails instead."""
    signal.alarm(30)
    yield
    signal.alarm(0)


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize(("name", "reader"), READERS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(READERS)])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(
    tmp_path: Path, name: str, reader: Callable[[Path], Any]
) -> None:
    os.mkfifo(tmp_path / name)
    try:
        assert "a pipe or a device, and no file" in reader(tmp_path / name)
    except (OSError, LedgerError) as refused:
        assert "a pipe or a device, and no file" in str(refused)


@pytest.mark.usefixtures("limited")
def test_a_pipe_in_place_of_a_lease_or_a_plan_is_refused_at_once(tmp_path: Path) -> None:
    folder = Ledger(tmp_path).at("rl", "rl-1")
    folder.path.mkdir(parents=True)
    os.mkfifo(folder.path / "lease")
    with pytest.raises((OSError, LedgerError), match="a pipe or a device"):
        folder.lease()
    sweep = SweepFolder(tmp_path, "s")
    sweep.path.mkdir(parents=True)
    os.mkfifo(sweep.path / "plan.json")
    with pytest.raises(LedgerError, match="a pipe or a device"):
        sweep.load()


@pytest.mark.parametrize("value", [10**400, -(10**400), float("nan"), True, "1", None])
def test_what_is_no_finite_number_counts_as_none(value: object) -> None:
    assert number(value) is None


@pytest.mark.parametrize("bad", ["/etc", "..", "", "a/b", 7, "a\0b"])
@pytest.mark.parametrize("key", ["id", "kind"])
def test_a_plan_whose_ids_lead_elsewhere_is_no_plan(tmp_path: Path, bad: object, key: str) -> None:
    stage = {
        **{"schema": 1, "id": "rl-1", "kind": "rl", "identity": {}, "inputs": {}, "config": {}, "slots": 1},
        **{"total_steps": None, "progress_metric": None, key: bad},
    }
    sweep = SweepFolder(tmp_path, "s")
    sweep.path.mkdir(parents=True)
    plan = {"schema": 1, "sweep": "s", "runs": [], "stages": [stage]}
    (sweep.path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    with pytest.raises(LedgerError, match="is no id"):
        sweep.load()
