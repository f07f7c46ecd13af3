"""What a running sweep shows: a live table on a terminal, plain lines elsewhere. All on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from toolrl_cli.commands.views.clock import duration
from toolrl_cli.harness.scheduling.events import Event
from toolrl_cli.store.state import Progress, StageState

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from toolrl_cli.planning.plan import Plan
    from toolrl_cli.store.progress.step_warnings import StepWarning

LOUD = ("failed", "paused", "waiting")  # told even where only the result is wanted
ENDS = ("succeeded", "failed", "stopped")
LASTING = 10  # steps after which a warning that every one of them shows is said again
PLAIN_EVERY = 15.0  # seconds between two progress lines of one stage where there is no terminal


class LiveView:
    """Shows the scheduler's events; use it as a context.

    Args:
        plan: the runs and stages that are worked on.
        results: the results root.
        quiet: show nothing but failures, warnings, and what the sweep waits for.
    """

    def __init__(self, plan: Plan, results: Path, quiet: bool = False) -> None:
        from rich.live import Live

        self._plan = plan
        self._results = results
        self._quiet = quiet
        self._console = _console()
        self._users = _users(plan)
        self._states: dict[str, StageState] = {}
        self._rates: dict[str, tuple[float, int]] = {}
        self._told: dict[str, float] = {}
        self._before: dict[str, Progress | None] = {}  # of a started attempt: how far the one before it was
        self._waiting = ""
        self._warned: dict[tuple[str, str], StepWarning] = {}  # stage and sign → what was said last
        self._began = time.monotonic()
        self._expected: dict[str, float] = {}  # stage that has not ended → seconds, where all are known
        self._done = sum(not s.owed for s in plan.stages.values())
        self._live: Live | None = None
        if self._console.is_terminal and not quiet:
            self._live = Live(
                get_renderable=self._table, console=self._console, refresh_per_second=2, transient=True
            )

    def __enter__(self) -> LiveView:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """As `notice`: the view is an observer of `api.run`."""
        self.notice(event)

    def notice(self, event: Event) -> None:
        """Take note of an event and show it."""
        if event.what == "began":
            self._began, self._expected = time.monotonic(), dict(event.seconds)
            return
        state = event.state
        if state is not None:
            if event.what in ("started", "adopted"):
                self._rates.pop(event.stage, None)
                self._before[event.stage] = state.progress if event.what == "started" else None
            if state.progress != self._before.get(event.stage):
                self._before[event.stage] = None
            self._states[event.stage] = state
            if state.progress and not self._is_old(event.stage, state) and event.stage not in self._rates:
                self._rates[event.stage] = (time.monotonic(), state.progress.step)
        if event.what == "waiting" and not event.stage:
            self._waiting = f"waiting {event.message}"
        elif event.what == "started":
            self._waiting = ""
        if event.what in (*ENDS, "blocked", "held"):
            self._states.pop(event.stage, None)
            self._expected.pop(event.stage, None)
        if event.what == "succeeded":
            self._done += 1
        self._warn(event)
        line = self._line(event)
        if line and (not self._quiet or event.what in LOUD):
            self._console.print(line, markup=False, soft_wrap=True)

    def _warn(self, event: Event) -> None:
        """Say what a training warns of: when it first does, once it has lasted from the start, and at its end."""
        ended = event.what in ENDS
        if event.state is None or event.what == "started":
            # the next step counts again what an earlier attempt saw
            return
        for warning in event.state.warnings:
            said = self._warned.get((event.stage, warning.name))
            lasts = warning.lasting and said is not None and said.steps < LASTING <= warning.steps
            if said is not None and (said.steps == warning.steps or not (ended or lasts)):
                continue
            self._warned[event.stage, warning.name] = warning
            spec = self._plan.stages[event.stage].spec
            line = f"{time.strftime('%H:%M:%S')} {spec.kind} {spec.id} warning: {warning}"
            self._console.print(line, markup=False, soft_wrap=True)

    def _line(self, event: Event) -> str:
        """One plain line; empty for events that are not worth one here."""
        stamp = time.strftime("%H:%M:%S")
        if not event.stage:
            return f"{stamp} {event.what}: {event.message}"
        spec = self._plan.stages[event.stage].spec
        name = f"{spec.kind} {spec.id}"
        state = event.state
        if event.what == "progress":
            now = time.monotonic()
            if self._live or state is None or state.progress is None or self._is_old(event.stage, state):
                return ""
            if now - self._told.get(event.stage, 0.0) < PLAIN_EVERY:
                return ""
            self._told[event.stage] = now
            return f"{stamp} {name}: step {_steps(state)}{self._metric(event.stage, state)}{self._left(event.stage)}"
        if event.what == "succeeded":
            took = f" in {state.seconds:.0f} s" if state is not None and state.seconds else ""
            return f"{stamp} {name} succeeded{took} ({self._done} of {len(self._plan.stages)} stages{self._clock()})"
        if event.what == "failed" and state is not None and state.failure:
            failure = state.failure
            hint = f" ({failure.hint})" if failure.hint else ""
            log = self._results / "stages" / spec.kind / spec.id / f"attempts/{state.attempt}/log.txt"
            return f"{stamp} {name} failed: {failure.kind}: {failure.message}{hint}; log: {log}"
        return f"{stamp} {name} {event.what}" + (f": {event.message}" if event.message else "")

    def _table(self) -> RenderableType:
        from rich import box
        from rich.table import Table

        table = Table(
            title=f"{self._plan.sweep}: {self._done} of {len(self._plan.stages)} stages{self._clock()}",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            caption=self._waiting or None,
            caption_justify="left",
        )
        for header in ("run", "stage", "step", "metric", "left", "slots"):
            table.add_column(header, overflow="ellipsis", no_wrap=header != "run")
        for stage_id, state in self._states.items():
            handle = state.launcher or {}
            table.add_row(
                _short(self._users[stage_id]),
                self._plan.stages[stage_id].spec.kind,
                (not self._is_old(stage_id, state) and _steps(state)) or _status(state),
                self._metric(stage_id, state).strip(" ,"),
                self._left(stage_id).strip(" ,").removesuffix(" left"),
                ",".join(handle.get("slots", ())),
            )
        return table

    def _clock(self) -> str:
        """How long the sweep has run, and how long what has not ended is expected to take."""
        told = f", {duration(time.monotonic() - self._began)}"
        left = sum(self._expected.values())
        for stage_id, state in self._states.items():
            if state.status == "running" and state.started is not None:
                left -= min(max(0.0, time.time() - state.started), self._expected.get(stage_id, 0.0))
        return told + (f", about {duration(left)} left" if left > 0 else "")

    def _metric(self, stage_id: str, state: StageState) -> str:
        name = self._plan.stages[stage_id].spec.progress_metric
        if name is None or state.progress is None or name not in state.progress.metrics:
            return ""
        return f", {'loss' if 'loss' in name else 'reward'} {state.progress.metrics[name]:.3g}"

    def _is_old(self, stage_id: str, state: StageState) -> bool:
        """Whether the progress is still that of the attempt before, which may have been beyond its checkpoint."""
        return state.progress is not None and state.progress == self._before.get(stage_id)

    def _left(self, stage_id: str) -> str:
        """Time left, from the steps measured since this harness first saw the attempt."""
        state = self._states.get(stage_id)
        if state is None or state.progress is None or state.progress.total is None:
            return ""
        if self._is_old(stage_id, state):
            return ""
        began, first = self._rates[stage_id]
        made = state.progress.step - first
        if made < 1:
            return ""
        seconds = (time.monotonic() - began) / made * (state.progress.total - state.progress.step)
        return f", {duration(seconds)} left"


def _console() -> Console:
    from rich.console import Console

    class Unread(Console):
        def on_broken_pipe(self) -> None:
            """Whoever read along (`head`, a closed window) has gone: the sweep goes on without words."""
            self.quiet = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    return Unread(stderr=True, highlight=False)


def _users(plan: Plan) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {}
    for run in plan.runs:
        for stage in run.stages:
            users.setdefault(stage.id, []).append(run.id)
    return users


def _short(runs: Sequence[str]) -> str:
    return runs[0] if len(runs) == 1 else f"{runs[0]} +{len(runs) - 1}"


def _status(state: StageState) -> str:
    """`running 35 s`: where there are no steps yet, the clock shows that something goes on."""
    if state.status != "running" or state.started is None:
        return state.status
    return f"running {duration(max(0.0, time.time() - state.started))}"


def _steps(state: StageState) -> str:
    if state.progress is None:
        return ""
    total = f"/{state.progress.total}" if state.progress.total else ""
    return f"{state.progress.step}{total}"
