"""Stopping a sweep from another terminal, with real harnesses and attempts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.stages import ROOT, Stages, eventually
from toolrl_cli.harness import stopping as stopping_module
from toolrl_cli.harness.stopping import stop_sweep
from toolrl_cli.planning.plan import lay_out
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.tree import send
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SweepFolder

Harness = subprocess.Popen[bytes]


class Sweep:
    """A saved sweep, and harnesses of it as processes of their own."""

    def __init__(self, folder: Path, name: str, specs: list[StageSpec]) -> None:
        self.ledger = Ledger(folder / "results")
        self.folder = SweepFolder(self.ledger.results, name)
        self.specs = specs
        runs = [PlannedRun(name, f"run-{spec.id}", "arm", 1, {}, (spec,)) for spec in specs]
        self.folder.save(lay_out(name, runs, self.ledger), None)
        self.graph = folder / f"{name}.json"
        self.graph.write_text(json.dumps([spec.to_json() for spec in specs]))
        self.log = folder / f"{name}.txt"
        self.harnesses: list[Harness] = []

    def start(self, slots: int, *more: str) -> Harness:
        argv = [sys.executable, "-m", "tests.support.harness", str(self.ledger.results), str(self.graph)]
        argv += [str(slots), "--sweep", self.folder.name, *more]
        with self.log.open("ab") as log:
            harness = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
        self.harnesses.append(harness)
        return harness

    def runs(self, *specs: StageSpec) -> None:
        eventually(lambda: all(self.ledger.read(spec).status == "running" for spec in specs))

    def statuses(self) -> list[str]:
        return [self.ledger.read(spec).status for spec in self.specs]


Make = Callable[..., Sweep]


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Make]:
    made: list[Sweep] = []

    def make(name: str, *specs: StageSpec) -> Sweep:
        made.append(Sweep(tmp_path, name, list(specs)))
        return made[-1]

    yield make
    for one in made:
        for harness in one.harnesses:
            harness.kill()
            harness.wait()


def test_all_harnesses_of_a_sweep_stop_with_their_attempts(sweep: Make, stages: Stages) -> None:
    small = sweep("small", stages("a", "rl"), stages("b", "rl"))
    harnesses = [small.start(1, "--function", "sleep")]
    small.runs(small.specs[0])
    harnesses.append(small.start(2, "--function", "sleep"))
    small.runs(small.specs[1])
    assert len(small.folder.harnesses()) == 2
    stopping = stop_sweep(small.folder, small.folder.load())
    assert len(stopping.harnesses) == 2
    assert {folder.id for folder in stopping.asked} == {spec.id for spec in small.specs}
    assert [harness.wait(timeout=30) for harness in harnesses] == [130, 130]
    assert small.statuses() == ["stopped", "stopped"]
    assert stopping.settle() == []
    assert small.folder.harnesses() == []
    eventually(lambda: not stages.processes())


def test_an_attempt_that_its_harness_ends_at_once_was_asked_too(
    sweep: Make, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = sweep("small", stages("a", "rl"))
    harness = small.start(1, "--function", "sleep")
    small.runs(*small.specs)

    def send_and_wait(process: ProcessId, number: int) -> bool:
        reached = send(process, number)
        harness.wait(timeout=30)
        return reached

    monkeypatch.setattr(stopping_module, "send", send_and_wait)
    stopping = stop_sweep(small.folder, small.folder.load())
    assert [folder.id for folder in stopping.asked] == [small.specs[0].id]
    assert (stopping.settle(), small.statuses()) == ([], ["stopped"])


def test_attempts_that_no_harness_looks_after_are_asked_themselves(sweep: Make, stages: Stages) -> None:
    small = sweep("small", stages("a", "rl"))
    harness = small.start(1, "--function", "sleep")
    small.runs(*small.specs)
    harness.kill()
    harness.wait()
    stopping = stop_sweep(small.folder, small.folder.load())
    assert (stopping.harnesses, len(stopping.asked)) == ((), 1)
    eventually(lambda: not stopping.settle())
    assert small.statuses() == ["stopped"]
    eventually(lambda: not stages.processes())


@pytest.mark.parametrize("orphaned", [True, False])
def test_what_ignores_the_request_is_killed_when_told_so_and_can_go_on(
    sweep: Make, stages: Stages, orphaned: bool
) -> None:
    small = sweep("small", stages("a", "rl", total_steps=2))
    harness = small.start(1, "--function", "sleep_deaf")
    small.runs(*small.specs)
    if orphaned:
        harness.kill()
        harness.wait()
    stopping = stop_sweep(small.folder, small.folder.load())
    assert len(stopping.settle()) == 1
    stopping.kill()
    eventually(lambda: not stopping.settle())
    assert small.statuses() == ["stopped"]
    eventually(lambda: not stages.processes())
    assert small.start(1).wait(timeout=60) == 0
    history = [attempt.status for attempt in small.ledger.read(small.specs[0]).attempts]
    assert history == ["stopped", "succeeded"]


def test_a_stage_that_a_living_harness_of_another_sweep_runs_is_left_alone(
    sweep: Make, stages: Stages
) -> None:
    shared, own = stages("shared", "rl"), stages("own", "rl")
    small, large = sweep("small", shared, own), sweep("large", shared)
    other = large.start(1, "--function", "sleep")
    large.runs(shared)
    mine = small.start(2, "--function", "sleep")
    small.runs(own)
    stopping = stop_sweep(small.folder, small.folder.load())
    assert [folder.id for folder in stopping.asked] == [own.id]
    assert stopping.others == {shared.id: "sweep large needs it too and is running"}
    assert mine.wait(timeout=30) == 130
    assert small.statuses() == ["running", "stopped"]
    assert other.poll() is None


def test_an_attempt_that_another_sweep_has_adopted_is_left_alone(sweep: Make, stages: Stages) -> None:
    shared = stages("shared", "rl")
    small, large = sweep("small", shared), sweep("large", shared)
    first = small.start(1, "--function", "sleep")
    small.runs(shared)
    first.kill()
    first.wait()
    large.start(1, "--function", "sleep")
    eventually(lambda: "adopted" in large.log.read_text())
    stopping = stop_sweep(small.folder, small.folder.load())
    assert (stopping.asked, list(stopping.others)) == ((), [shared.id])
    assert small.statuses() == ["running"]


def test_a_sweep_goes_on_with_the_stage_that_a_stopped_one_was_running_for_both(
    sweep: Make, stages: Stages
) -> None:
    shared = stages("shared", "rl", total_steps=3, config={"step_seconds": 0.5})
    small, large = sweep("small", shared), sweep("large", shared)
    first = small.start(1)
    small.runs(shared)
    second = large.start(1)
    eventually(lambda: "waiting shared" in large.log.read_text())
    stop_sweep(small.folder, small.folder.load())
    assert first.wait(timeout=30) == 130
    assert second.wait(timeout=60) == 0
    assert [attempt.status for attempt in large.ledger.read(shared).attempts] == ["stopped", "succeeded"]


def test_files_of_harnesses_that_were_killed_mean_nothing_and_go(sweep: Make, stages: Stages) -> None:
    small = sweep("small", stages("a"))
    folder = small.folder.path / "harnesses"
    folder.mkdir()
    dead = ProcessId.current().to_json() | {"start_time": 1.0}
    (folder / "dead.json").write_text(json.dumps(dead))
    (folder / "torn.json").write_text('{"pid": 1')
    assert small.folder.harnesses() == []
    with small.folder.attended():
        assert small.folder.harnesses() == [ProcessId.current()]
        assert len(list(folder.iterdir())) == 1
    assert list(folder.iterdir()) == []


def test_a_pid_that_another_process_has_by_now_is_not_stopped(sweep: Make, stages: Stages) -> None:
    small = sweep("small", stages("a", "rl"))
    harness = small.start(1, "--function", "sleep")
    small.runs(*small.specs)
    harness.kill()
    harness.wait()
    bystander = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    try:
        path = small.ledger.folder(small.specs[0]).path / "state.json"
        state = json.loads(path.read_text())
        attempt = ProcessId.from_json(state["launcher"])
        state["launcher"]["pid"] = bystander.pid
        path.write_text(json.dumps(state))
        stopping = stop_sweep(small.folder, small.folder.load())
        assert list(stopping.others.values()) == ["its attempt cannot be reached from here"]
        stopping.kill()
        assert bystander.poll() is None
        assert attempt.alive()
    finally:
        bystander.kill()
        bystander.wait()
