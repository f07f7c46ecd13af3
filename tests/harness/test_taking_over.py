"""Stages whose attempts cannot be seen are taken over when the user says so, and only without a sign of life."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.stages import Stages
from toolrl_cli import api
from toolrl_cli.errors import LedgerError
from toolrl_cli.harness import taking_over
from toolrl_cli.harness.stopping import stop_sweep
from toolrl_cli.harness.taking_over import take_over, unseen
from toolrl_cli.planning.plan import lay_out
from toolrl_cli.planning.rewinding import START, set_back
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.store.files import write_json
from toolrl_cli.store.lease import LeaseInfo
from toolrl_cli.store.ledger import Ledger, StageFolder
from toolrl_cli.store.state import StageState
from toolrl_cli.store.sweep_folder import SweepFolder

GONE = dataclasses.replace(ProcessId.current(), host="node7", boot="other")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "results")


@pytest.fixture
def lost(ledger: Ledger, stages: Stages) -> StageFolder:
    """A stage at work on a node that cannot be seen from here, in a sweep whose harness was there too."""
    spec = stages("a")
    folder = ledger.folder(spec)
    SweepFolder(ledger.results, "s").save(
        lay_out("s", [PlannedRun("s", "a-seed1", "a", 1, {}, (spec,))], ledger), None
    )
    (ledger.results / "sweeps/s/harnesses").mkdir()
    write_json(ledger.results / "sweeps/s/harnesses/node7-1.json", GONE.to_json())
    folder.attempt(1).mkdir(parents=True)
    write_json(folder.path / "spec.json", {**spec.to_json(), "schema": 1})
    leave(folder)
    return folder


def leave(folder: StageFolder, owner: ProcessId = GONE, heartbeat: float = 1.0) -> None:
    handle = {"kind": "local", **owner.to_json()}
    state = dataclasses.replace(
        StageState(folder.id, folder.kind), status="running", attempt=1, launcher=handle
    )
    write_json(folder.path / "state.json", state.to_json())
    info = LeaseInfo(owner, "attempt", 1, handle, "t", 1.0, heartbeat)
    (folder.path / "lease").write_bytes(info.encode())


def nothing(seconds: float) -> None:
    pass


def test_every_line_about_such_a_stage_names_the_way_out(lost: StageFolder, ledger: Ledger) -> None:
    sweep = SweepFolder(ledger.results, "s")
    (why,) = stop_sweep(sweep, sweep.load()).others.values()
    told = f"toolrl stop s --take-over --results {ledger.results}"
    assert why == f"its attempt cannot be reached from here; if it is gone: `{told}`"
    with pytest.raises(LedgerError, match=r"may be at work: .*node7.*`toolrl stop SWEEP --take-over`"):
        set_back(ledger, {lost.id: START}, "--fresh")


def test_a_stage_without_a_sign_of_life_is_taken_over_and_its_harness_forgotten(
    lost: StageFolder, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking_over, "WATCH", 0.0)
    stopped = api.stop("s", results=ledger.results, take_over=True)
    assert stopped.ok and stopped.ends == {lost.id: "failed"}
    state = lost.state()
    assert state.failure is not None and state.failure.kind == "killed"
    assert lost.lease() is None
    assert SweepFolder(ledger.results, "s").harnesses() == []
    assert api.stop("s", results=ledger.results, take_over=True).ends == {}


@pytest.mark.parametrize(
    ("meanwhile", "why"),
    [
        (lambda folder: leave(folder, heartbeat=3.0), "its heartbeat moves: process"),
        (lambda folder: (folder.path / "lease").unlink(), "it has ended by now"),
    ],
)
def test_one_that_shows_a_sign_of_life_is_left_alone(
    lost: StageFolder, meanwhile: Callable[[StageFolder], None], why: str
) -> None:
    told = take_over([lost], sleep=lambda seconds: meanwhile(lost))
    assert told[lost.id].startswith(why)
    assert lost.state().status == "running"


def test_one_that_runs_here_is_no_such_stage(lost: StageFolder) -> None:
    leave(lost, owner=ProcessId.current())
    assert unseen([lost]) == []
    assert take_over([lost], sleep=nothing)[lost.id] != ""
    assert lost.state().status == "running"


def test_an_attempt_that_died_before_it_took_its_lease_is_taken_over_too(lost: StageFolder) -> None:
    (lost.path / "lease").unlink()
    assert unseen([lost]) == [lost]
    assert take_over([lost], sleep=nothing) == {lost.id: ""}
    assert lost.state().status == "failed"
