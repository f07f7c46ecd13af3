"""Where the stages of a saved sweep stand: what `toolrl status` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.harness.launcher import queue_name
from toolrl_cli.harness.reach import LOCAL, Reach
from toolrl_cli.planning.losses import look
from toolrl_cli.processes.process_id import ProcessId
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.store.documents import fault_of
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.schemas import PRINTED
from toolrl_cli.store.state import Progress, StageState
from toolrl_cli.store.sweep_folder import SavedSweep, SweepFolder
from toolrl_cli.tracking.status import told_of

if TYPE_CHECKING:
    import pandas as pd

FIELDS = ("status", "attempt", "progress", "failure", "launcher", "times", "attempts", "note", "warnings")
DONE = "succeeded"


@dataclass(frozen=True)
class RunStatus:
    """Where a run stands: its first stage that is not done, or its last.

    Attributes:
        run: the run.
        stage: that stage.
        status: of that stage: a status word of the ledger, or `unreadable`.
        state: what the ledger says of it, as far as that can be read.
        what: why it failed or is owed again, or the metrics of what runs; and what its stages warn of.
            Empty where there is nothing to say.
    """

    run: PlannedRun
    stage: StageSpec
    status: str
    state: StageState
    what: str

    @property
    def position(self) -> int:
        """Which of the run's stages it is, from 1 on."""
        return self.run.stages.index(self.stage) + 1

    @property
    def done(self) -> bool:
        """Whether all of the run's stages are."""
        return self.state.status == DONE

    @property
    def progress(self) -> Progress | None:
        """How far its attempt is; None where the stage is done or was not begun, and where that is not known."""
        return self.state.progress if self.status not in (DONE, "pending", "unreadable") else None

    @property
    def attempts(self) -> int:
        """How many it has had; 0 where that is not known."""
        return self.state.attempt if self.status != "unreadable" else 0


@dataclass(frozen=True)
class SweepStatus:
    """A saved sweep as it stands now.

    Attributes:
        saved: the sweep.
        states: id → state; a succeeded stage that is owed again for what it has lost stands as it will be set back.
        faults: id → why, of stages that cannot be read, which count as pending.
        harnesses: the processes that work on it, as far as they are not known dead.
        ledger: where the stages are.
        queues: id → what the queue says of an attempt that it has, where a person should know: its job while it
            waits and why, or that nobody answers.
    """

    saved: SavedSweep
    states: Mapping[str, StageState] = field(repr=False)
    faults: Mapping[str, str]
    harnesses: tuple[ProcessId, ...]
    ledger: Ledger = field(repr=False)
    queues: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """How many stages are done, and who works on the rest."""
        done = sum(state.status == DONE for state in self.states.values())
        title, count = f"{self.saved.name}: {done} of {len(self.states)} stages done", len(self.harnesses)
        if count:
            title += f", {count} harness{'es' if count > 1 else ''} at work"
        elif done < len(self.states):
            active = sum(state.active for state in self.states.values())
            alone = f", {active} attempt{'s go' if active > 1 else ' goes'} on without" if active else ""
            title += f", no harness at work{alone}"
        return title

    @property
    def tracking(self) -> str:
        """What is not in W&B, and what to do; empty where all is, or nothing was to be sent."""
        return told_of(self.ledger.results, self.saved.name)

    @property
    def runs(self) -> list[RunStatus]:
        """Where each run stands, in the order of the sweep."""
        return [self._run(run) for run in self.saved.runs]

    def _run(self, run: PlannedRun) -> RunStatus:
        stage = next((s for s in run.stages if self.states[s.id].status != DONE), run.stages[-1])
        state, fault = self.states[stage.id], self.faults.get(stage.id)
        warned = [f"{s.kind}: {warning.short}" for s in run.stages for warning in self.states[s.id].warnings]
        what = "; ".join(
            part for part in (fault or _what(state), self.queues.get(stage.id, ""), *warned) if part
        )
        return RunStatus(run, stage, "unreadable" if fault else state.status, state, what)

    def refreshed(self) -> SweepStatus:
        """The same sweep, looked at again.

        Raises:
            LedgerError: the results root cannot be read.
        """
        return sweep_status(self.saved, self.ledger)

    def to_json(self) -> dict[str, Any]:
        """The document of `status --json`: `plan --json`'s shape with progress, attempts and failure."""
        return {
            "schema": PRINTED,
            "sweep": self.saved.name,
            "harnesses": [harness.to_json() for harness in self.harnesses],
            "tracking": self.tracking,
            "runs": [run.to_json() for run in self.saved.runs],
            "stages": [self._stage(spec) for spec in self.saved.stages.values()],
        }

    def _stage(self, spec: StageSpec) -> dict[str, Any]:
        state = self.states[spec.id].to_json()
        if spec.id in self.faults:
            state |= unreadable(self.faults[spec.id])
        return {
            "id": spec.id,
            "kind": spec.kind,
            "owed": state["status"] != DONE,
            "inputs": dict(spec.inputs),
            **{name: state[name] for name in FIELDS},
        }

    def to_frame(self) -> pd.DataFrame:
        """A row for each run, about its first stage that is not done, or its last.

        Returns:
            Columns: run, arm, seed; stage, kind, position (of so many `stages`, from 1 on); status, step and total (of
            the attempt that runs or ran last; NA where there is none), attempts, what (why it failed or is owed again,
            or the metrics of what runs).
        """
        import pandas as pd

        rows = [
            (
                *(r.run.id, r.run.arm, r.run.seed, r.stage.id, r.stage.kind, r.position, len(r.run.stages)),
                *(r.status, *((r.progress.step, r.progress.total) if r.progress else (None, None))),
                *(r.attempts, r.what),
            )
            for r in self.runs
        ]
        about = ("run", "arm", "seed", "stage", "kind", "position", "stages")
        frame = pd.DataFrame(rows, columns=[*about, "status", "step", "total", "attempts", "what"])
        return frame.astype({"step": "Int64", "total": "Int64"})

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return f"<p>{escape(self.title)}</p>{self.to_frame().to_html(index=False)}"


def sweep_status(saved: SavedSweep, ledger: Ledger) -> SweepStatus:
    """Look where the stages of a saved sweep stand.

    Raises:
        LedgerError: the results root cannot be read.
    """
    hidden: dict[str, LedgerError | SpecError] = {}
    states, losses = look(saved.stages, ledger, unreadable=hidden)
    owed = {i: states[i].set_back(str(loss)) for i, loss in losses.items() if loss.owed}
    known = {i: state for i, state in (states | owed).items() if i not in hidden}
    faults = {i: state.fault for i, state in known.items() if state.fault}
    faults |= {i: fault_of(error) for i, error in hidden.items()}
    every = {i: known.get(i) or StageState(i, spec.kind) for i, spec in saved.stages.items()}
    harnesses = tuple(SweepFolder(ledger.results, saved.name).harnesses())
    return SweepStatus(saved, every, faults, harnesses, ledger, _queues(every))


def _queues(states: Mapping[str, StageState]) -> dict[str, str]:
    handles = {i: state.launcher for i, state in states.items() if state.active and state.launcher}
    handles = {i: handle for i, handle in handles.items() if handle.get("kind", LOCAL) != LOCAL}
    answers = Reach().poll(list(handles.values()))
    told = {}
    for (stage_id, handle), seen in zip(handles.items(), answers, strict=True):
        waits = f"waits in {handle['kind']}: {queue_name(handle)}"
        told[stage_id] = seen.told or (waits if seen.phase == "queued" else "")
    return told


def unreadable(why: str) -> dict[str, Any]:
    """What a document says of a stage whose state the file system does not give."""
    return {"status": "unreadable", "failure": Failure.of("infra", why).to_json()}


def _what(state: StageState) -> str:
    if state.status == "pending":
        return state.note
    if state.failure:
        return f"{state.failure.kind}: {state.failure.message}"
    if state.active and state.progress:
        named = state.progress.metrics.items()
        return ", ".join(f"{'loss' if 'loss' in name else 'reward'} {value:.3g}" for name, value in named)
    return ""
