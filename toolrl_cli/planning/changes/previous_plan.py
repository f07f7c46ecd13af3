"""What a sweep had when it was last started and has no more, read from its frozen plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.planning.plan import Plan
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SweepFolder


@dataclass
class Earlier:
    """What a sweep had and has no more.

    Attributes:
        ledger: where the stages are.
        runs: run that it still has → the stages of then, where one of them is no longer part of the plan.
        gone: stage that is no longer part of the sweep → its kind.
        lost: runs whose results are no longer part of the sweep, in words: a run that it has no more, or that is now of
            other stages under the same id; with a finished stage that is no longer part of it either.
    """

    ledger: Ledger
    runs: dict[str, Sequence[str]] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    _finished: dict[str, bool] = field(default_factory=dict)

    def has_lost(self, stage_id: str) -> bool:
        """Whether a stage has succeeded and is no longer part of the sweep."""
        return stage_id in self.gone and self.finished(stage_id, self.gone[stage_id])

    @cached_property
    def _present(self) -> Mapping[str, set[str]]:
        return self.ledger.names()

    def finished(self, stage_id: str, kind: str) -> bool:
        """Whether a stage has succeeded, by the ledger."""
        if stage_id not in self._present.get(kind, ()):
            return False
        if stage_id not in self._finished:
            try:
                status = self.ledger.at(kind, stage_id).state().status
            except LedgerError:
                status = "failed"
            self._finished[stage_id] = status == "succeeded"
        return self._finished[stage_id]


def read_earlier(ledger: Ledger, plan: Plan, whole: Plan) -> Earlier:
    """Read a frozen plan beside the one of now.

    Args:
        ledger: where the stages are, and the frozen plan; where that is missing or torn, nothing is known of before.
        plan: the part of the sweep that is looked at.
        whole: the sweep.
    """
    run_ids = {run.id for run in plan.runs}
    earlier = Earlier(ledger)
    try:
        saved = SweepFolder(ledger.results, plan.sweep).load()
    except (LedgerError, SpecError):
        return earlier
    earlier.gone.update((s.id, s.kind) for s in saved.stages.values() if s.id not in whole.stages)
    kept = {run.id for run in whole.runs}
    for run in saved.runs:
        if any(earlier.has_lost(stage.id) for stage in run.stages):
            if run.id not in kept:
                earlier.lost.append(run.id)
            elif _is_another(run, earlier.gone):
                earlier.lost.append(f"{run.id} as it was")
        if run.id in run_ids and not all(stage.id in plan.stages for stage in run.stages):
            earlier.runs[run.id] = [stage.id for stage in run.stages]
    return earlier


def _is_another(run: PlannedRun, gone: Collection[str]) -> bool:
    """Whether nothing of a run's results stays: its training is gone, or all that no other stage reads.

    What it begins with may stay, such as a model that all runs begin with, or that model's score at step 0.
    """
    read = {stage_id for stage in run.stages for stage_id in stage.inputs.values()}
    trained = any(trains(stage.kind) for stage in run.stages if stage.id in gone)
    return trained or all(stage.id in gone for stage in run.stages if stage.id not in read)
