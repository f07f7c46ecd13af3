"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, so that a red run means a change; `--hypothesis-profile explore` looks
# for new ones. No deadline: the machine's load is not the code's fault.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile("same")

TRAINERS = Path(__file__).parent / "e2e"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With xdist a file stays in one process, and what trains stays in one, which begins with it.

    Real trainers start a dozen processes each, so that two at a time would take longer, not less; and modules
    share costly fixtures.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group("trainers" if _trains(item) else str(item.path)))
    if os.environ.get("PYTEST_XDIST_WORKER"):
        items.sort(key=lambda item: (not _trains(item), item.get_closest_marker("e2e") is None))


def _trains(item: pytest.Item) -> bool:
    return TRAINERS in item.path.parents


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
