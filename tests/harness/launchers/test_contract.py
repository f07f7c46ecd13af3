"""What every launcher keeps: one set of tests that runs on all of them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.fake_ray import TOKEN, fake_ray
from tests.support.fake_slurm import install
from tests.support.stages import FUNCTIONS, ROOT, Stages, eventually
from toolrl_cli.harness.launcher import LAUNCHERS, Launcher, LauncherKind, LaunchPlan, LaunchRequest, Seen
from toolrl_cli.harness.launchers.local import LocalLauncher
from toolrl_cli.harness.ray import view
from toolrl_cli.harness.ray.launcher import RayLauncher
from toolrl_cli.harness.ray.settings import RaySettings
from toolrl_cli.harness.reach import Reach
from toolrl_cli.harness.slurm.launcher import SlurmLauncher
from toolrl_cli.harness.slurm.settings import SlurmSettings
from toolrl_cli.harness.starting import AttemptOptions, Started, start_attempt
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.state import Handle


def local(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    yield LocalLauncher(["cpu0", "cpu1", "cpu2"])


def slurm(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    patch.setenv("FAKE_SLURM", str(folder))
    patch.setenv("PATH", str(install(folder)), prepend=os.pathsep)
    yield SlurmLauncher(SlurmSettings(poll=0.1))


def ray(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Launcher]:
    patch.setenv("RAY_AUTH_TOKEN", TOKEN)
    patch.setattr(view, "FRESH", 0.05)
    with fake_ray() as cluster:
        yield RayLauncher(RaySettings(address=cluster.address, poll=0.1))


WORLDS: dict[str, Callable[[Path, pytest.MonkeyPatch], Iterator[Launcher]]] = {
    "local": local,
    "slurm": slurm,
    "ray": ray,
}


@dataclass
class World:
    """A launcher and stages to start on it."""

    launcher: Launcher
    ledger: Ledger
    stages: Stages

    def start(self, function: str) -> tuple[StageSpec, Handle]:
        spec = self.stages(function.replace("_", "-"))
        options = AttemptOptions({spec.kind: f"{FUNCTIONS}:{function}"}, heartbeat=0.1)
        slots = tuple(self.launcher.pool.slots[:1]) if self.launcher.pool else ()
        started = start_attempt(self.ledger.folder(spec), spec, self.launcher, slots, options)
        assert isinstance(started, Started)
        assert started.state.launcher is not None
        return spec, started.state.launcher

    def seen(self, handle: Handle) -> Seen:
        (seen,) = self.launcher.poll([handle])
        return seen

    def status(self, spec: StageSpec) -> str:
        return self.ledger.read(spec).status

    def over(self, handle: Handle) -> None:
        eventually(lambda: self.seen(handle).phase == "ended")


@pytest.fixture(params=sorted(WORLDS))
def world(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ledger: Ledger,
    stages: Stages,
) -> Iterator[World]:
    monkeypatch.chdir(ROOT)
    with contextlib.contextmanager(WORLDS[request.param])(tmp_path, monkeypatch) as launcher:
        yield World(launcher, ledger, stages)


def test_a_submitted_attempt_does_its_work_and_is_seen_to_end(world: World) -> None:
    spec, handle = world.start("finish")
    assert handle["kind"] == world.launcher.kind
    world.over(handle)
    assert world.status(spec) == "succeeded"
    assert world.seen(handle).failure is None


def test_a_handle_goes_through_json_and_serves_a_later_harness(world: World) -> None:
    spec, _ = world.start("sleep")
    eventually(lambda: world.status(spec) == "running")
    written = json.loads((world.ledger.folder(spec).path / "state.json").read_text())["launcher"]
    later = Reach()
    assert later.poll([written]) == [Seen("running")] and later.answers(written) is (
        world.launcher.pool is None
    )
    assert later.cancel(written)
    eventually(lambda: later.poll([written])[0].phase == "ended")
    assert world.status(spec) == "stopped"
    assert not later.cancel(written)


def test_attempts_are_polled_together_in_the_order_of_the_question(world: World) -> None:
    (_, long), (_, short) = world.start("sleep"), world.start("finish")
    world.over(short)
    phases = [seen.phase for seen in world.launcher.poll([short, long, short])]
    assert phases[0] == phases[2] == "ended" and phases[1] in ("queued", "running")
    world.launcher.cancel(long, kill=True)
    world.over(long)


def test_an_attempt_that_is_killed_leaves_its_end_to_others(world: World) -> None:
    spec, handle = world.start("sleep_deaf")
    eventually(lambda: world.status(spec) == "running")
    world.launcher.cancel(handle, kill=True)
    world.over(handle)
    assert world.status(spec) in ("running", "stopped")  # a cluster may give it a last moment
    assert world.stages.processes() == []


def test_what_the_attempt_says_is_in_its_own_log(world: World) -> None:
    spec, handle = world.start("raise_value_error")
    world.over(handle)
    assert "ValueError: no good" in (world.ledger.folder(spec).attempt(1) / "log.txt").read_text()
    assert world.status(spec) == "failed"


def test_what_cannot_be_known_of_is_unknown(world: World) -> None:
    _, handle = world.start("finish")
    foreign = {**handle, **ELSEWHERE}
    assert world.seen(foreign).phase == "unknown" and world.seen(foreign).alive is None
    world.over(handle)


# a machine, and a cluster, that cannot be seen from here
ELSEWHERE = {"host": "elsewhere", "boot": "b", "namespace": "n", "cluster": "elsewhere"}


def test_the_wait_ends_by_the_time_and_by_a_wake(world: World) -> None:
    reader, writer = os.pipe()
    world.launcher.wait([], reader, 0.01)
    os.write(writer, b"x")
    world.launcher.wait([], reader, 60.0)
    os.close(reader)
    os.close(writer)


def test_a_queue_gives_the_same_attempt_when_it_is_asked_again(world: World) -> None:
    if world.launcher.pool:
        pytest.skip("only a launcher with a queue is asked again")
    spec, handle = world.start("sleep")
    again = LaunchRequest(world.ledger.folder(spec).path, spec, 1, (), ProcessId.current(), again=True)
    assert {**world.launcher.submit(again), "harness": 0} == {**handle, "harness": 0}
    world.launcher.cancel(handle)
    world.over(handle)
    eventually(lambda: not world.stages.processes())


def test_every_launcher_of_toolrl_keeps_the_contract() -> None:
    kinds: dict[str, LauncherKind] = LAUNCHERS.all()
    assert set(WORLDS) == set(kinds)
    assert all(LaunchPlan("x", []).settings is None or kind.settings for kind in kinds.values())
