from __future__ import annotations

import dataclasses
import functools
import json
import time
from pathlib import Path

import pytest

from tests.support.stages import Stages, dead_process
from toolrl_cli.attempt.ending import settle
from toolrl_cli.errors import LedgerError
from toolrl_cli.planning.forecasts.measured import seconds_used
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.lease import LeaseInfo, take
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.liveness import observed
from toolrl_cli.store.state import STATUSES, Progress, StageState


def full_state() -> StageState:
    state = (
        StageState("rl-1", "rl").begun(1, {"kind": "local", "pid": 1}).running({"kind": "local", "pid": 1})
    )
    state = dataclasses.replace(state, progress=Progress(3, 10, {"reward/total/mean": 0.5}))
    return state.over("failed", Failure.of("oom", "CUDA out of memory")).begun(2, {"kind": "local", "pid": 2})


def test_a_state_survives_json() -> None:
    state = full_state()
    assert StageState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_the_document_of_a_state_is_the_contracts() -> None:
    data = full_state().to_json()
    assert set(data) == {
        *(
            "schema",
            "id",
            "kind",
            "status",
            "attempt",
            "launcher",
            "failure",
            "progress",
            "times",
            "attempts",
            "adjust",
            "note",
            "output",
            "warnings",
        ),
    }
    assert set(data["times"]) == {"queued", "started", "ended"}
    assert [set(attempt) for attempt in data["attempts"]] == [
        {"n", "status", "failure", "started", "ended"}
    ] * 2
    assert data["attempts"][0]["failure"]["class"] == "oom"


def test_a_stage_that_never_ran_is_pending(ledger: Ledger, stages: Stages) -> None:
    assert ledger.read(stages("a")) == StageState(stages("a").id, "export")


def test_the_history_has_every_attempt_once_in_order() -> None:
    state = full_state().running({"kind": "local"}).over("succeeded")
    assert [(a.n, a.status) for a in state.attempts] == [(1, "failed"), (2, "succeeded")]
    assert state.status == "succeeded"
    assert state.failure is None


def test_a_clock_set_back_gives_no_negative_duration() -> None:
    state = dataclasses.replace(full_state(), started=100.0, ended=50.0)
    assert state.seconds == 0.0


def test_a_clock_that_is_set_while_an_attempt_runs_does_not_change_how_long_it_ran(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = ProcessId.current()
    age = me.age()
    assert age is not None and age < 7200
    state = StageState(stages("a").id, "rl").begun(1, me.to_json()).running(me.to_json())
    for jumped in (time.time() - 9e8, time.time() + 1e9):
        with monkeypatch.context() as clock:
            clock.setattr("time.time", functools.partial(float, jumped))
            over = state.over("succeeded")
            assert over.seconds is not None and abs(over.seconds - age) < 60
            assert seconds_used(over, time.time()) == over.seconds
            assert abs(seconds_used(state, time.time()) - age) < 60


def test_an_attempt_that_was_killed_long_ago_ran_until_its_last_heartbeat(
    ledger: Ledger, stages: Stages
) -> None:
    spec, dead = stages("a", "rl"), dead_process()
    folder = ledger.folder(spec)
    folder.path.mkdir(parents=True)
    handle = dead.to_json()
    state = StageState(spec.id, "rl").begun(1, handle).running(handle)
    state = dataclasses.replace(state, started=1000.0)
    with take(folder.path, purpose="launch") as lease:
        folder.write_state(state, lease)
    info = LeaseInfo(dead, "attempt", 1, handle, "t1", 1000.0, 1600.0)
    (folder.path / "lease").write_bytes(info.encode())
    assert observed(folder).seconds == 600
    settled = settle(folder, 1)
    assert settled is not None and settled.failure is not None
    assert (settled.failure.kind, settled.seconds) == ("killed", 600)
    assert seconds_used(settled, time.time()) == 600


def test_no_attempt_ends_before_it_starts_by_its_last_heartbeat() -> None:
    state = dataclasses.replace(full_state(), started=1000.0).over("failed", last_seen=900.0)
    assert (state.started, state.ended) == (1000.0, 1000.0)


def test_a_written_state_is_read_again(ledger: Ledger, stages: Stages) -> None:
    folder = ledger.folder(stages("a"))
    folder.path.mkdir(parents=True)
    state = StageState(folder.id, folder.kind).begun(1, {"kind": "local"})
    with take(folder.path, purpose="launch") as lease:
        folder.write_state(state, lease)
    assert folder.state() == state


def test_nobody_writes_a_state_without_the_lease(ledger: Ledger, stages: Stages) -> None:
    folder = ledger.folder(stages("a"))
    folder.path.mkdir(parents=True)
    lease = take(folder.path, purpose="launch")
    lease.release()
    with pytest.raises(LedgerError, match="taken this stage over"):
        folder.write_state(StageState(folder.id, folder.kind), lease)


@pytest.mark.parametrize("content", ["", '{"schema": 1, "id"', '{"schema": 1, "status": "resting"}', "[]"])
def test_a_torn_state_is_owed_work_and_keeps_its_attempt_numbers(
    ledger: Ledger, stages: Stages, content: str
) -> None:
    folder = ledger.folder(stages("a"))
    folder.attempt(3).mkdir(parents=True)
    (folder.path / "state.json").write_text(content)
    state = folder.state()
    assert (state.status, state.attempt) == ("failed", 3)
    assert state.failure is not None
    assert "cannot be read" in state.failure.message


def test_a_state_of_a_later_version_is_not_guessed_at(ledger: Ledger, stages: Stages) -> None:
    folder = ledger.folder(stages("a"))
    folder.path.mkdir(parents=True)
    (folder.path / "state.json").write_text(json.dumps({**full_state().to_json(), "schema": 2}))
    with pytest.raises(LedgerError, match=r"schema 2.*later version"):
        folder.state()


def test_a_specification_is_written_once_and_renewed_when_only_transport_changed(
    ledger: Ledger, stages: Stages
) -> None:
    spec = stages("a", config={"gpus": 1})
    folder = ledger.folder(spec)
    folder.path.mkdir(parents=True)
    folder.write_spec(spec)
    before = (folder.path / "spec.json").stat().st_mtime_ns
    folder.write_spec(spec)
    assert (folder.path / "spec.json").stat().st_mtime_ns == before
    folder.write_spec(dataclasses.replace(spec, config={"gpus": 2}))
    assert folder.spec().config == {"gpus": 2}


@pytest.mark.parametrize("change", [{"identity": {"name": "b"}}, {"inputs": {"model": "x"}}])
def test_two_different_stages_never_share_a_directory(ledger: Ledger, stages: Stages, change: dict) -> None:
    spec = stages("a")
    folder = ledger.folder(spec)
    folder.path.mkdir(parents=True)
    folder.write_spec(spec)
    with pytest.raises(LedgerError, match="holds another stage"):
        folder.write_spec(dataclasses.replace(spec, **change))


def test_a_stage_is_found_by_its_id_alone(ledger: Ledger, stages: Stages) -> None:
    spec = stages("a", "rl")
    ledger.folder(spec).path.mkdir(parents=True)
    found = ledger.find(spec.id)
    assert found is not None
    assert (found.kind, found.id, found.results) == ("rl", spec.id, ledger.results)
    assert ledger.find("nobody") is None


def test_ten_thousand_stages_are_read_each_once_and_one_torn_among_them_costs_only_itself(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path)
    whole = full_state()
    document = json.dumps(whole.to_json())
    for number in range(10_000):
        folder = tmp_path / "stages" / "rl" / f"rl-{number:05d}"
        folder.mkdir(parents=True)
        (folder / "state.json").write_text(document)
    (tmp_path / "stages" / "rl" / "rl-05000" / "state.json").write_text(document[:100])
    states = list(ledger.states())
    assert len(states) == 10_000
    assert sum(state == whole for state in states) == 9_999
    assert [(folder.id, folder.state().failure) for folder in ledger.folders()][5000] == (
        "rl-05000",
        states[5000].failure,
    )


def test_the_status_words_are_the_designs() -> None:
    assert STATUSES == ("pending", "queued", "running", "succeeded", "failed", "stopped")


def test_an_attempt_that_ends_while_it_is_looked_at_was_not_killed(
    ledger: Ledger, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ledger.folder(stages("a"))
    running = StageState(folder.id, folder.kind).begun(1, {"kind": "local"}).running({"kind": "local"})
    ended = running.over("succeeded")
    looks = iter([running, ended])
    monkeypatch.setattr(type(folder), "state", lambda _: next(looks))
    assert observed(folder, alive=lambda handle: False) == ended
    looks = iter([running, running])
    assert observed(folder, alive=lambda handle: False).status == "failed"


def test_an_attempt_whose_owner_cannot_be_seen_counts_as_running_whatever_its_handle_says(
    ledger: Ledger, stages: Stages
) -> None:
    folder = ledger.folder(stages("a"))
    folder.path.mkdir(parents=True)
    elsewhere = dataclasses.replace(ProcessId.current(), host="elsewhere", boot="other")
    with take(folder.path, purpose="launch") as lease:
        folder.write_state(StageState(folder.id, folder.kind).begun(1, {"kind": "local"}), lease)
    (folder.path / "lease").write_bytes(LeaseInfo(elsewhere, "attempt", 1, {}, "t", 1.0, 1.0).encode())
    assert observed(folder, alive=lambda handle: False).status == "queued"
