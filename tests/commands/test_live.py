from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.results_tree import CPU, plan_of, results, stage
from toolrl_cli.commands.views import live
from toolrl_cli.commands.views.live import LiveView
from toolrl_cli.harness.scheduling.events import Event
from toolrl_cli.store.state import Progress, StageState


def test_a_resumed_attempt_shows_its_own_steps_and_the_time_left_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [1000.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(live, "PLAIN_EVERY", 0.0)
    spec = stage("rl", steps=100)
    view = LiveView(plan_of(results(tmp_path), (spec,)), tmp_path)
    died = StageState(spec.id, "rl", progress=Progress(59, 100))  # the last checkpoint is that of step 30
    again = died.begun(2, CPU)
    view.notice(Event("started", spec.id, again))
    view.notice(Event("progress", spec.id, again.running(CPU)))
    for step in (31, 32, 33):
        now[0] += 60.0
        view.notice(Event("progress", spec.id, StageState(spec.id, "rl", progress=Progress(step, 100))))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2] for line in lines[1:]] == [
        "step 31/100",
        "step 32/100, 68 min left",
        "step 33/100, 67 min left",
    ]


def test_the_time_of_the_whole_sweep_and_of_a_stage_without_steps_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [1000.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(live.time, "time", lambda: now[0])
    spec = stage("rl", steps=100)
    view = LiveView(plan_of(results(tmp_path), (spec,)), tmp_path)
    view.notice(Event("began", seconds={spec.id: 600.0, "later": 300.0}))
    running = replace(StageState(spec.id, "rl"), status="running", started=975.0)
    view.notice(Event("started", spec.id, running))
    now[0] += 60.0
    screen = Console(file=io.StringIO(), width=100)
    screen.print(view._table())
    said = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "demo: 0 of 1 stages, 60 s, about 14 min left" in said and "running 85 s" in said
    now[0] += 6000.0  # longer than expected: what comes after it takes no less for that
    assert view._clock() == ", 1.7 h, about 5 min left"
    view.notice(Event("succeeded", spec.id, replace(running, status="succeeded")))
    assert "(1 of 1 stages, 1.7 h, about 5 min left)" in capsys.readouterr().err
    view.notice(Event("began"))
    assert view._clock() == ", 0 s"
