"""Publishers and attempts on machines that cannot be seen from here."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tracking.tree import SWEEP, ResultsTree
from toolrl_cli.errors import SpecError
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.store.lease import LeaseInfo
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.tracking import publisher as publisher_module
from toolrl_cli.tracking import status as status_module
from toolrl_cli.tracking.file_age import seconds_old
from toolrl_cli.tracking.place import publishing_alone
from toolrl_cli.tracking.publisher import Publisher
from toolrl_cli.tracking.status import SILENT, RunStatus, StatusWriter, read_status, told_of

THERE = ProcessId(12, 34.0, "node7", "another-boot", "pid:[1]")


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep that a publisher on another machine feeds."""
    folder = ResultsTree(tmp_path / "results").root / "sweeps" / SWEEP
    status = StatusWriter(folder, "online")
    status.set("arm0-seed1", RunStatus("x", rows=3))
    with monkeypatch.context() as there:
        there.setattr(status_module.ProcessId, "current", classmethod(lambda cls: THERE))
        status.write()
    return folder


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_publisher_on_another_machine_lives_as_long_as_it_writes(sweep: Path) -> None:
    file = sweep / "wandb_status.json"
    status = read_status(sweep)
    assert status is not None and status.owner == THERE and status.at_work and status.line == ""
    with publishing_alone(sweep) as alone:
        assert not alone
    age(file, SILENT + 10)
    status = read_status(sweep)
    assert status is not None and not status.at_work
    assert "sending ended before all of it had arrived" in told_of(sweep.parents[1], SWEEP)
    with publishing_alone(sweep) as alone:
        assert alone


def test_sync_names_the_machine_that_is_sending(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolrl_cli.tracking.sync.PATIENCE", 0.1)
    tree = ResultsTree(sweep.parents[1])
    with pytest.raises(SpecError, match="is being sent to W&B now \\(process 12 on node7\\)"):
        tree.sync()


def test_a_publisher_that_was_taken_for_dead_gives_way(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module, "BEAT", 0.0)
    mine = StatusWriter(sweep, "online")
    assert not mine.beat()
    age(sweep / "wandb_status.json", SILENT + 10)
    assert mine.beat()
    status = read_status(sweep)
    assert status is not None and status.owner == ProcessId.current()


def test_an_attempt_on_another_machine_is_at_work_while_its_heartbeat_moves(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, ledger = ResultsTree(sweep.parents[1]), Ledger(sweep.parents[1])
    monkeypatch.setattr(publisher_module, "LOOK", 0.0)
    monkeypatch.setattr(publisher_module, "SILENT", 0.2)
    tree.stand(tree.rl[0], "running")
    folder = ledger.folder(tree.rl[0])
    state = folder.state()
    handle = {"kind": "slurm", "job": "7", "id": "x"}
    publisher = Publisher(sweep.parents[1], SWEEP, "online", None, StatusWriter(sweep, "online"))  # type: ignore[arg-type]

    def stands(lease: LeaseInfo | None) -> bool:
        path = folder.path / "lease"
        path.unlink(missing_ok=True)
        if lease is not None:
            path.write_bytes(lease.encode())
        return publisher._others_at_work(SweepFolder(tree.root, SWEEP).load())

    monkeypatch.setattr(publisher_module, "attempt_alive", lambda folder, state: None)
    lease = LeaseInfo(THERE, "attempt", state.attempt, handle, "t", 1.0, 1.0)
    assert not stands(None)  # it waits in a queue
    assert stands(lease) and stands(lease)
    time.sleep(0.3)
    assert not stands(lease)
    assert stands(replace(lease, heartbeat=3.0))


def test_the_age_of_a_file_is_that_of_its_file_system(tmp_path: Path) -> None:
    file = tmp_path / "x"
    assert seconds_old(file) is None
    file.write_text("x")
    age(file, 100)
    old = seconds_old(file)
    assert old is not None and 99 < old < 110 and list(tmp_path.iterdir()) == [file]
