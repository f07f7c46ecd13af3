"""kill -9 of everything at random moments, and two harnesses at once, with real processes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.stages import ROOT, Stages, eventually
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.processes.slot_locks import SlotLocks
from toolrl_cli.processes.tree import kill, send
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.progress.metrics import merge_metrics

STEPS = 4


class Sweep:
    """A graph of stages that real harness processes work on."""

    def __init__(self, folder: Path, stages: Stages, chains: int, *, step_seconds: float = 0.02) -> None:
        self.stages = stages
        self.results = folder / "results"
        self.ledger = Ledger(self.results)
        self.specs = self._graph(chains, step_seconds)
        self.graph = folder / "graph.json"
        self.graph.write_text(json.dumps([spec.to_json() for spec in self.specs]))
        self.log = folder / "harness.txt"
        self.locks = folder / "slots"

    def _graph(self, chains: int, step_seconds: float) -> list[StageSpec]:
        """One shared SFT stage, and chains of rl → export → evaluate over it."""
        config = {"step_seconds": step_seconds}
        shared = self.stages("sft", "sft", total_steps=STEPS, config=config)
        specs = [shared]
        for number in range(chains):
            rl = self.stages(f"rl{number}", "rl", after=(shared,), total_steps=STEPS, config=config)
            export = self.stages(f"export{number}", "export", after=(rl,))
            specs += [rl, export, self.stages(f"evaluate{number}", "evaluate", after=(export,))]
        return specs

    def start(self, slots: int = 2, *, locked: bool = False) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "tests.support.harness", str(self.results), str(self.graph), str(slots)]
        if locked:
            argv += ["--locks", str(self.locks)]
        with self.log.open("ab") as log:
            return subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)

    def attempts(self) -> list[ProcessId]:
        """The attempts' own processes, without what runs below them."""
        return [process for process, argv in self.stages.processes_with_argv() if "attempt.execution" in argv]

    def check(self) -> None:
        """What has to hold in the end, whatever happened before."""
        assert self.stages.processes() == []
        assert SlotLocks("", self.locks).elsewhere(["cpu0", "cpu1"]) == {}
        for spec in self.specs:
            folder = self.ledger.folder(spec)
            state = folder.state()
            assert state.status == "succeeded", (spec.id, state)
            ended = [attempt.status for attempt in state.attempts]
            assert ended.count("succeeded") == 1, (spec.id, ended)
            assert ended[-1] == "succeeded"
            assert not {"running", "queued"} & set(ended), (spec.id, ended)
            numbers = [attempt.n for attempt in state.attempts]
            assert numbers == sorted(set(numbers))
            litter = {path.name for path in folder.path.iterdir()}
            assert litter <= {"spec.json", "state.json", "attempts", "checkpoints", "output"}, litter
            if spec.total_steps:
                assert [row["step"] for row in merge_metrics(folder.path)] == list(range(1, STEPS + 1))


def kill_something(sweep: Sweep, harness: subprocess.Popen[bytes], dice: random.Random) -> str:
    """One of: the harness, an attempt, the attempts' children, or everything at once."""
    victim = dice.choice(["harness", "attempt", "children", "everything"])
    attempts = sweep.attempts()
    everything = sweep.stages.processes()
    if victim in ("harness", "everything"):
        harness.kill()
    if victim == "attempt" and attempts:
        send(dice.choice(attempts), signal.SIGKILL)
    if victim == "children":
        for process in everything:
            if process not in attempts:
                send(process, signal.SIGKILL)
    if victim == "everything":
        for process in everything:
            send(process, signal.SIGKILL)
    return victim


def survive(sweep: Sweep, kills: int, dice: random.Random, longest: float) -> list[str]:
    victims = []
    harness = sweep.start(locked=True)
    try:
        for _ in range(kills):
            time.sleep(dice.uniform(0.0, longest))
            victims.append(kill_something(sweep, harness, dice))
            if harness.poll() is not None or victims[-1] in ("harness", "everything"):
                harness.wait()
                harness = sweep.start(locked=True)
        while harness.wait(timeout=120) != 0:
            harness = sweep.start(locked=True)
    finally:
        harness.kill()
        harness.wait()
    return victims


def test_twenty_kills_at_random_moments_lose_nothing_and_leave_nothing(
    tmp_path: Path, stages: Stages
) -> None:
    sweep = Sweep(tmp_path, stages, chains=2)
    victims = survive(sweep, 20, random.Random(2025), longest=0.8)
    assert set(victims) == {"harness", "attempt", "children", "everything"}
    sweep.check()


@pytest.mark.e2e
def test_fifty_kills_over_thirty_stages_lose_nothing_and_leave_nothing(
    tmp_path: Path, stages: Stages
) -> None:
    sweep = Sweep(tmp_path, stages, chains=10, step_seconds=0.1)
    survive(sweep, 50, random.Random(7), longest=1.5)
    sweep.check()


def two_harnesses(folder: Path, stages: Stages, chains: int) -> None:
    sweep = Sweep(folder, stages, chains=chains, step_seconds=0.0)
    harnesses = [sweep.start(slots=1), sweep.start(slots=1)]
    try:
        assert [harness.wait(timeout=60) for harness in harnesses] == [0, 0], sweep.log.read_text()
    finally:
        for harness in harnesses:
            harness.kill()
            harness.wait()
    sweep.check()
    for spec in sweep.specs:
        assert len(sweep.ledger.read(spec).attempts) == 1, sweep.log.read_text()


def test_two_harnesses_at_once_run_no_stage_twice(tmp_path: Path, stages: Stages) -> None:
    two_harnesses(tmp_path, stages, chains=2)


@pytest.mark.e2e
@pytest.mark.parametrize("number", range(20))
def test_two_harnesses_at_once_run_no_stage_twice_twenty_times(
    tmp_path: Path, stages: Stages, number: int
) -> None:
    two_harnesses(tmp_path, stages, chains=1)


def test_a_harness_that_is_gone_leaves_its_attempts_running_and_the_next_one_adopts_them(
    tmp_path: Path, stages: Stages
) -> None:
    sweep = Sweep(tmp_path, stages, chains=0, step_seconds=0.4)
    harness = sweep.start()
    eventually(lambda: sweep.ledger.read(sweep.specs[0]).status == "running")
    harness.kill()
    harness.wait()
    handle = sweep.ledger.read(sweep.specs[0]).launcher
    assert handle is not None
    attempt = ProcessId.from_json(handle)
    assert attempt.alive() is True
    assert sweep.start().wait(timeout=60) == 0
    assert "adopted" in sweep.log.read_text()
    assert attempt.alive() is False
    assert len(sweep.ledger.read(sweep.specs[0]).attempts) == 1
    sweep.check()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_the_attempts_and_the_same_command_goes_on_from_there(
    tmp_path: Path, stages: Stages, signum: int
) -> None:
    sweep = Sweep(tmp_path, stages, chains=0, step_seconds=0.3)
    harness = sweep.start()
    folder = sweep.ledger.folder(sweep.specs[0])
    eventually(lambda: merge_metrics(folder.path))
    harness.send_signal(signum)
    assert harness.wait(timeout=30) == 130
    assert folder.state().status == "stopped"
    assert stages.processes() == []
    assert 0 < len(merge_metrics(folder.path)) < STEPS
    assert sweep.start().wait(timeout=60) == 0
    history = [attempt.status for attempt in folder.state().attempts]
    assert history == ["stopped", "succeeded"]
    assert "going on from step" in (folder.attempt(2) / "log.txt").read_text()
    sweep.check()


def test_a_second_harness_waits_for_the_first_ones_stage_and_goes_on_after_it(
    tmp_path: Path, stages: Stages
) -> None:
    sweep = Sweep(tmp_path, stages, chains=1, step_seconds=0.5)
    first = sweep.start(slots=1)
    eventually(lambda: merge_metrics(sweep.ledger.folder(sweep.specs[0]).path))
    trainers = [process for process, argv in stages.processes_with_argv() if "trainer_double" in argv]
    for trainer in trainers:
        send(trainer, signal.SIGSTOP)  # else it may be done before the second harness has started
    second = sweep.start(slots=1)
    try:
        eventually(lambda: "waiting sft" in sweep.log.read_text())
        first.kill()
        for trainer in trainers:
            send(trainer, signal.SIGCONT)
        first.wait()
        assert second.wait(timeout=60) == 0
    finally:
        second.kill()
        second.wait()
    sweep.check()
    assert len(sweep.ledger.read(sweep.specs[0]).attempts) == 1


def test_a_command_without_anything_owed_is_quick(tmp_path: Path, stages: Stages) -> None:
    sweep = Sweep(tmp_path, stages, chains=0)
    assert sweep.start().wait(timeout=60) == 0
    before = {path: path.stat().st_mtime_ns for path in sweep.results.rglob("*")}
    assert sweep.start().wait(timeout=60) == 0
    assert {path: path.stat().st_mtime_ns for path in sweep.results.rglob("*")} == before


def test_a_pid_that_another_process_has_by_now_is_neither_adopted_nor_signalled(
    tmp_path: Path, stages: Stages
) -> None:
    sweep = Sweep(tmp_path, stages, chains=0, step_seconds=0.4)
    harness = sweep.start()
    folder = sweep.ledger.folder(sweep.specs[0])
    eventually(lambda: folder.state().status == "running")
    harness.kill()
    harness.wait()
    kill(stages.processes())
    bystander = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    try:
        path = folder.path / "state.json"
        state = json.loads(path.read_text())
        state["launcher"]["pid"] = bystander.pid
        path.write_text(json.dumps(state))
        with contextlib.suppress(FileNotFoundError):
            lease = json.loads((folder.path / "lease").read_text())
            lease["owner"]["pid"] = bystander.pid
            (folder.path / "lease").write_text(json.dumps(lease))
        assert sweep.start().wait(timeout=60) == 0
        assert bystander.poll() is None
    finally:
        os.kill(bystander.pid, signal.SIGKILL)
        bystander.wait()
    sweep.check()
