"""What several tests of training use."""

from __future__ import annotations

import pytest
from verl.trainer.ppo.v1 import replay_buffer as verls

from tests.support.queue_double import Queue
from toolrl_cli.training import replay_buffer as ours


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    queue = Queue()
    monkeypatch.setattr(verls, "tq", queue)
    monkeypatch.setattr(ours, "tq", queue)
    return queue
