"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

# The same examples in every run, so that a red run means a change; `--hypothesis-profile explore` looks
# for new ones. No deadline: the machine's load is not the code's fault.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile("same")


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
