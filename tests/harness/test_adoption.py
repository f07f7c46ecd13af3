"""A copied or moved results tree is one of its own."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stages import Stages
from toolrl_cli import api
from toolrl_cli.harness.adoption import adopt
from toolrl_cli.planning.plan import lay_out
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.store.files import write_json
from toolrl_cli.store.lease import LeaseInfo
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.liveness import observed
from toolrl_cli.store.state import StageState
from toolrl_cli.store.sweep_folder import SweepFolder


@pytest.fixture
def at_work() -> Iterator[ProcessId]:
    """A process that stands for harness and attempt."""
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    process = ProcessId.of(child.pid)
    assert process is not None
    yield process
    child.kill()
    child.wait()


@pytest.fixture
def live(tmp_path: Path, stages: Stages, at_work: ProcessId) -> StageFolder:
    """A stage of sweep `s` that is at work, in a tree that knows its place."""
    ledger, spec = Ledger(tmp_path / "results"), stages("a")
    folder = ledger.folder(spec)
    runs = [PlannedRun("s", "a-seed1", "a", 1, {}, (spec,))]
    SweepFolder(ledger.results, "s").save(lay_out("s", runs, ledger), None)
    (ledger.results / "sweeps/s/harnesses").mkdir()
    write_json(ledger.results / "sweeps/s/harnesses/here-1.json", at_work.to_json())
    folder.attempt(1).mkdir(parents=True)
    handle = {"kind": "local", **at_work.to_json()}
    state = StageState(folder.id, folder.kind)
    running = dataclasses.replace(state, status="running", attempt=1, launcher=handle)
    write_json(folder.path / "state.json", running.to_json())
    (folder.path / "lease").write_bytes(LeaseInfo(at_work, "attempt", 1, handle, "t", 1.0, 1.0).encode())
    processes = {
        "mark": "m",
        "ended": False,
        "attempt": at_work.to_json(),
        "descendants": [at_work.to_json()],
    }
    write_json(folder.attempt(1) / "processes.json", {"schema": 1, **processes})
    assert adopt(ledger.results) is None
    return folder


def copied(folder: StageFolder, tmp_path: Path) -> tuple[Path, StageFolder]:
    shutil.copytree(tmp_path / "results", tmp_path / "copy", symlinks=True)
    return tmp_path / "copy", Ledger(tmp_path / "copy").at(folder.kind, folder.id)


def test_stopping_a_copy_leaves_the_original_at_work(
    live: StageFolder, tmp_path: Path, at_work: ProcessId
) -> None:
    copy, mine = copied(live, tmp_path)
    stopped = api.stop("s", results=copy)
    assert (stopped.harnesses, stopped.ends, stopped.others) == (0, {}, {})
    assert at_work.alive() and live.state().status == "running" and live.lease() is not None
    state = mine.state()
    assert state.status == "failed" and mine.lease() is None
    assert state.failure is not None and str(tmp_path / "results") in state.failure.message
    record = json.loads((mine.attempt(1) / "processes.json").read_text())
    assert record["ended"] and record["descendants"] == []  # else the next attempt there would kill them


def test_looking_at_a_copy_does_not_show_the_originals_attempts_and_writes_nothing(
    live: StageFolder, tmp_path: Path
) -> None:
    _, mine = copied(live, tmp_path)
    seen = observed(mine)
    assert seen.status == "failed" and seen.failure is not None
    assert f"was at work in {tmp_path / 'results'}" in seen.failure.message
    assert observed(live).status == mine.state().status == "running"


def test_what_a_copy_has_started_since_is_its_own(live: StageFolder, tmp_path: Path) -> None:
    copy, mine = copied(live, tmp_path)
    assert adopt(copy) == tmp_path / "results"
    (mine.path / "lease").write_bytes(b"a lease of an attempt that was started in the copy")
    assert adopt(copy) is None
    assert (mine.path / "lease").exists()


def test_a_moved_tree_and_another_path_to_it_keep_what_runs(live: StageFolder, tmp_path: Path) -> None:
    (tmp_path / "other").symlink_to(tmp_path / "results")
    assert adopt(tmp_path / "other") is None
    (tmp_path / "results").rename(tmp_path / "moved")
    assert adopt(tmp_path / "moved") is None
    moved = Ledger(tmp_path / "moved").at(live.kind, live.id)
    assert moved.state().status == "running" and moved.lease() is not None


def test_a_torn_marker_and_an_older_tree_are_taken_for_what_stands_there(
    live: StageFolder, tmp_path: Path
) -> None:
    (tmp_path / "results/root.json").write_text("{")
    assert adopt(tmp_path / "results") is None
    assert json.loads((tmp_path / "results/root.json").read_text())["path"] == str(tmp_path / "results")
    assert live.lease() is not None
    assert adopt(tmp_path / "nowhere") is None and not (tmp_path / "nowhere").exists()
