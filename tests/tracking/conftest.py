from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

from tests.support.wandb_server import WandbServer


@pytest.fixture(scope="module")
def one_server() -> Iterator[WandbServer]:
    server = WandbServer()
    yield server
    server.close()


@pytest.fixture
def server(one_server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WandbServer:
    """A server that has nothing yet; the client of this process, and of those that it starts, talks to it."""
    one_server.clear()
    home = tmp_path / "home"
    home.mkdir()
    for name, value in one_server.environment(home).items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    wandb.teardown()  # the client keeps the settings of the process's first use
    return one_server
