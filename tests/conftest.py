"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Before torch is imported: the models of the tests are so small that a second thread only waits, three times as
# long as the work takes where the machine is busy. Trainers are given threads of their own.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.support.stages import ROOT, Stages
from toolrl_cli.harness.launchers.local import LocalLauncher
from toolrl_cli.processes.tree import kill
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.training.checking import config_check

# The same examples in every run, so that a red run means a change; `--hypothesis-profile explore` looks
# for new ones. No deadline: the machine's load is not the code's fault.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile("same")

TRAINERS = "tests/e2e/"
NO_TRAINERS = ("tests/e2e/test_slurm.py", "tests/e2e/test_ray.py", "tests/e2e/test_ray_nodes.py")


def trains(nodeid: str) -> bool:
    """Whether a test runs real trainers."""
    return nodeid.startswith(TRAINERS) and not nodeid.startswith(NO_TRAINERS)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With xdist a file stays in one process, and what trains stays in one, which begins with it.

    Real trainers start a dozen processes each, so that two at a time would take longer, not less; and modules
    share costly fixtures. (`--dist loadgroup` would say it in marks; xdist 3.8 overlooks them under pytest 9.2.)
    """
    from xdist.scheduler import LoadFileScheduling

    class TrainersTogether(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return TRAINERS if trains(nodeid) else super()._split_scope(nodeid)

    config.option.loadscopereorder = False  # in the order of the tests
    return TrainersTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("PYTEST_XDIST_WORKER"):
        items.sort(key=lambda item: (not trains(item.nodeid), item.get_closest_marker("e2e") is None))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What verl was seen to accept is remembered for these tests alone, not in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLRL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def own_slots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sweeps that tests start wait neither for those of the machine's user nor for other test runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLRL_SLOTS", str(tmp_path_factory.mktemp("slots")))
        yield


@pytest.fixture
def verl_accepts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """verl takes every option that toolrl's own checks let through: to ask it takes ten seconds a set of options."""
    monkeypatch.setattr(config_check, "ask_verl", lambda questions: [[] for _ in questions])
    monkeypatch.setattr(config_check, "_seen", set())
    monkeypatch.setenv("TOOLRL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def stages() -> Iterator[Stages]:
    made = Stages()
    yield made
    kill(made.processes())


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "results")


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> LocalLauncher:
    monkeypatch.chdir(ROOT)
    return LocalLauncher(["cpu0", "cpu1"])
