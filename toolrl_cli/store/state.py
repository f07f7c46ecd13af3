"""What has happened to a stage: the content of `state.json`, and the moves from one status to the next."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.progress.step_warnings import StepWarning
from toolrl_cli.store.schemas import STATE

Status = Literal["pending", "queued", "running", "succeeded", "failed", "stopped"]
STATUSES: tuple[Status, ...] = get_args(Status)
ACTIVE: frozenset[Status] = frozenset({"queued", "running"})

CLOCK_SLACK = 60.0
"""Seconds by which an attempt's start and its process's may differ without its clock having been set."""

Handle = Mapping[str, Any]
"""A launcher's word for an attempt it started: JSON with at least `kind`; see `harness.launcher`."""

Adjust = Mapping[str, Mapping[str, Any]]
"""Dotted key of a stage's config → `{"asked": value, "used": value}`; see `attempt.adjusting`."""


@dataclass(frozen=True)
class Progress:
    """How far the current attempt is.

    Attributes:
        step: the last finished training step, counted from the start of the stage.
        total: steps of the stage, or None.
        metrics: the values worth showing at that step.
    """

    step: int
    total: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class AttemptRecord:
    """One attempt in the history.

    Attributes:
        n: its number, from 1.
        status: `queued`, `running`, or how it ended.
        failure: why it failed, if it did.
        started, ended: unix seconds by the clock of its machine.
    """

    n: int
    status: Status
    failure: Failure | None = None
    started: float | None = None
    ended: float | None = None


@dataclass(frozen=True)
class StageState:
    """The state of one stage; every change is a new object.

    Attributes:
        id, kind: as in its `StageSpec`.
        status: the word for it.
        attempt: number of the current or last attempt; 0 before the first.
        launcher: handle of the current or last attempt.
        failure: why the last attempt failed; None unless the status is `failed`.
        progress: of the current or last attempt; None until the first training step.
        queued, started, ended: of the current or last attempt, unix seconds.
        attempts: all of them, oldest first.
        adjust: settings of transport that the current or last attempt had in place of those asked for.
        note: why a stage that was run before is pending again; empty otherwise.
        going_back: the arguments of `attempt.setting_back` while it is under way: who dies in it leaves them.
        fault: why `state.json` cannot be used, where it is torn or edited; the status is `failed` then, so that
            the stage is owed.
        warnings: signs in its training steps, of all attempts that count, that these teach nothing.
        output: path below `output/` → bytes, of what it left when it succeeded; None before that, and in what
            earlier versions wrote.
    """

    id: str
    kind: str
    status: Status = "pending"
    attempt: int = 0
    launcher: Handle | None = None
    failure: Failure | None = None
    progress: Progress | None = None
    queued: float | None = None
    started: float | None = None
    ended: float | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    adjust: Adjust = field(default_factory=dict)
    note: str = ""
    going_back: Mapping[str, Any] | None = None
    warnings: tuple[StepWarning, ...] = ()
    output: Mapping[str, int] | None = None
    fault: str = ""

    @property
    def active(self) -> bool:
        """Whether an attempt is under way, as far as the ledger knows."""
        return self.status in ACTIVE

    @property
    def seconds(self) -> float | None:
        """How long the last ended attempt ran; see `over`."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.started)

    def seconds_so_far(self, now: float) -> float:
        """How long the attempt has run by `now` (unix seconds); 0 before it does.

        Where the machine's clock was set meanwhile and the process can be seen, the clock since boot tells.
        """
        if self.started is None:
            return 0.0
        age = _age(self.launcher)
        by_clock = now - self.started
        jumped = age is not None and abs(by_clock - age) > CLOCK_SLACK
        return max(0.0, age if age is not None and jumped else by_clock)

    def begun(self, attempt: int, launcher: Handle | None, adjust: Adjust | None = None) -> StageState:
        """A launcher has been given a new attempt; `adjust` is None for what the last one had."""
        return replace(
            self,
            status="queued",
            attempt=attempt,
            launcher=launcher,
            failure=None,
            queued=time.time(),
            started=None,
            ended=None,
            attempts=(*self.attempts, AttemptRecord(attempt, "queued")),
            adjust=self.adjust if adjust is None else adjust,
            note="",
            output=None,
        )

    def set_back(
        self, note: str, *, adjust: Adjust | None = None, going_back: Mapping[str, Any] | None = None
    ) -> StageState:
        """What was done does not count any more, or not all of it; the history stays."""
        return replace(
            self,
            status="pending",
            failure=None,
            progress=None,
            queued=None,
            started=None,
            ended=None,
            adjust=self.adjust if adjust is None else adjust,
            note=note,
            going_back=going_back,
            warnings=(),
            output=None,
        )

    def running(self, launcher: Handle) -> StageState:
        """The attempt's process has started."""
        now = time.time()
        state = replace(self, status="running", launcher=launcher, started=now)
        return state._with_last(AttemptRecord(self.attempt, "running", started=now))

    def over(
        self,
        status: Literal["succeeded", "failed", "stopped"],
        failure: Failure | None = None,
        output: Mapping[str, int] | None = None,
        last_seen: float | None = None,
    ) -> StageState:
        """The attempt has ended; `output` is what it left, where it succeeded.

        Args:
            status, failure, output: how.
            last_seen: unix seconds of the last sign of life, of one that was killed, maybe long ago; None: it
                ends now. Then its start is set so that the two times tell how long it ran.
        """
        now = time.time()
        started = self.started
        if last_seen is not None and started is not None:
            now = min(now, max(started, last_seen))
        elif started is not None:
            started = now - self.seconds_so_far(now)
        state = replace(self, status=status, failure=failure, started=started, ended=now, output=output)
        return state._with_last(AttemptRecord(self.attempt, status, failure, started, now))

    def _with_last(self, record: AttemptRecord) -> StageState:
        earlier = tuple(attempt for attempt in self.attempts if attempt.n != record.n)
        return replace(self, attempts=(*earlier, record))

    def to_json(self) -> dict[str, Any]:
        """The content of `state.json`."""
        return {
            "schema": STATE.schema,
            "id": self.id,
            "kind": self.kind,
            "status": self.status,
            "attempt": self.attempt,
            "launcher": dict(self.launcher) if self.launcher else None,
            "failure": self.failure.to_json() if self.failure else None,
            "progress": _progress_to_json(self.progress),
            "times": {"queued": self.queued, "started": self.started, "ended": self.ended},
            "attempts": [
                {
                    "n": attempt.n,
                    "status": attempt.status,
                    "failure": attempt.failure.to_json() if attempt.failure else None,
                    "started": attempt.started,
                    "ended": attempt.ended,
                }
                for attempt in self.attempts
            ],
            "adjust": {key: dict(change) for key, change in self.adjust.items()},
            "note": self.note,
            "warnings": [warning.to_json() for warning in self.warnings],
            "output": None if self.output is None else dict(self.output),
            **({} if self.going_back is None else {"going_back": dict(self.going_back)}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageState:
        """Read what `to_json` wrote.

        Raises:
            LedgerError: a later version of toolrl wrote it, or one that is too old.
            KeyError, TypeError, ValueError: it is something else.
        """
        data = STATE.current(data, f"stage {data.get('id', '?')}")
        if data["status"] not in STATUSES:
            raise ValueError(f"unknown status {data['status']!r}")
        times = data["times"]
        return cls(
            id=data["id"],
            kind=data["kind"],
            status=data["status"],
            attempt=int(data["attempt"]),
            launcher=data["launcher"],
            failure=_failure(data["failure"]),
            progress=_progress(data["progress"]),
            queued=times["queued"],
            started=times["started"],
            ended=times["ended"],
            attempts=tuple(
                AttemptRecord(
                    int(attempt["n"]),
                    attempt["status"],
                    _failure(attempt["failure"]),
                    attempt["started"],
                    attempt["ended"],
                )
                for attempt in data["attempts"]
            ),
            # absent in what earlier versions wrote
            adjust=_adjust(data.get("adjust", {})),
            note=str(data.get("note", "")),
            going_back=_going_back(data.get("going_back")),
            warnings=tuple(StepWarning.from_json(warning) for warning in data.get("warnings", ())),
            output=_output(data.get("output")),
        )


def _age(handle: Handle | None) -> float | None:
    """Seconds since the attempt's process started, by a clock that nobody sets; None where that is not known."""
    try:
        return ProcessId.from_json(handle or {}).age()
    except (KeyError, TypeError, ValueError):
        return None


def _going_back(data: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if data is None:
        return None
    return {"step": int(data["step"]), "why": str(data["why"]), "answers": bool(data["answers"])}


def _failure(data: Mapping[str, Any] | None) -> Failure | None:
    return Failure.from_json(data) if data else None


def _adjust(data: Mapping[str, Mapping[str, Any]]) -> Adjust:
    return {key: {"asked": change["asked"], "used": change["used"]} for key, change in data.items()}


def _output(data: Mapping[str, int] | None) -> Mapping[str, int] | None:
    return None if data is None else {str(name): int(size) for name, size in data.items()}


def _progress(data: Mapping[str, Any] | None) -> Progress | None:
    return Progress(int(data["step"]), data["total"], data["metrics"]) if data else None


def _progress_to_json(progress: Progress | None) -> dict[str, Any] | None:
    if progress is None:
        return None
    return {"step": progress.step, "total": progress.total, "metrics": dict(progress.metrics)}
