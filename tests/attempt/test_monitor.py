from __future__ import annotations

import errno
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.stages import Stages
from toolrl_cli.attempt import monitor as module
from toolrl_cli.attempt.monitor import Monitor
from toolrl_cli.store import jsonl
from toolrl_cli.store.state import StageState


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(module, "kill", lambda *_, **__: None)
    return made


def before_a_step(folder: Path, stages: Stages, *, interval: float, hang_after: float) -> Monitor:
    """A monitor, not started, of an attempt that begins at time 0."""
    lease = SimpleNamespace(beat=lambda: True)
    spec = stages("rl", "rl", total_steps=9)
    writer = SimpleNamespace(state=StageState(spec.id, "rl"), change=lambda how: None)
    return Monitor(
        spec,
        folder,
        cast(Any, lease),
        cast(Any, writer),
        cast(Any, SimpleNamespace(update=lambda: None)),
        interval=interval,
        hang_after=hang_after,
        abandon=lambda failure: None,
    )


def after_a_step(folder: Path, stages: Stages, *, interval: float, hang_after: float) -> Monitor:
    """The same that has seen one step at time 0."""
    made = before_a_step(folder, stages, interval=interval, hang_after=hang_after)
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, "data": {}}) + "\n")
    made._round()
    return made


def test_an_attempt_that_was_suspended_has_not_hung(tmp_path: Path, stages: Stages, clock: Clock) -> None:
    monitor = after_a_step(tmp_path, stages, interval=2.0, hang_after=600.0)
    for pause in (2.0, 8 * 3600.0, 2.0):
        clock.now += pause
        monitor._round()
    assert monitor.verdict is None


def test_rounds_without_a_step_add_up_to_a_hang(tmp_path: Path, stages: Stages, clock: Clock) -> None:
    monitor = after_a_step(tmp_path, stages, interval=2.0, hang_after=600.0)
    for _ in range(301):
        assert monitor.verdict is None
        clock.now += 2.0
        monitor._round()
    assert monitor.verdict is not None
    assert (monitor.verdict.kind, monitor.verdict.message) == ("hang", "no training step for 602 seconds")
    monitor.finish()


def test_the_first_step_of_an_attempt_may_take_half_an_hour_however_short_the_patience(
    tmp_path: Path, stages: Stages, clock: Clock
) -> None:
    monitor = before_a_step(tmp_path, stages, interval=2.0, hang_after=600.0)
    for _ in range(900):
        clock.now += 2.0
        monitor._round()
    assert monitor.verdict is None
    clock.now += 2.0
    monitor._round()
    assert monitor.verdict is not None and monitor.verdict.kind == "hang"
    monitor.finish()


def test_a_look_at_the_metrics_that_fails_is_made_up_for_by_the_next(
    tmp_path: Path, stages: Stages, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = after_a_step(tmp_path, stages, interval=2.0, hang_after=600.0)
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write(json.dumps({"step": 2, "data": {}}) + "\n")
    with monkeypatch.context() as patched:
        patched.setattr(jsonl, "open_to_read", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "lost")))
        clock.now += 599.0
        monitor._tolerate_full_disk(monitor._round)
    clock.now += 2.0
    monitor._tolerate_full_disk(monitor._round)
    assert monitor.verdict is None and monitor._silent == 0.0  # the step was seen
