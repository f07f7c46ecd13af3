"""What a sweep had when it was last started and has no more, read from its frozen plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from toolrl_cli.errors import LedgerError
from toolrl_cli.planning.plan import Plan
from toolrl_cli.store.files import read_json
from toolrl_cli.store.ledger import Ledger


@dataclass
class Earlier:
    """What a sweep had and has no more.

    Attributes:
        ledger: where the stages are.
        runs: run that it still has → the stages of then, where one of them is no longer part of the plan.
        gone: stage that is no longer part of the sweep → its kind.
    """

    ledger: Ledger
    runs: dict[str, Sequence[str]] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    _finished: dict[str, bool] = field(default_factory=dict)

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


def read_earlier(path: Path, ledger: Ledger, plan: Plan, whole: Plan) -> Earlier:
    """Read a frozen plan beside the one of now.

    Args:
        path: of the frozen plan; where it is missing or torn, nothing is known of before.
        ledger: where the stages are.
        plan: the part of the sweep that is looked at.
        whole: the sweep.

    Raises:
        LedgerError: the file is there and the file system does not give it.
    """
    run_ids = {run.id for run in plan.runs}
    earlier = Earlier(ledger)
    data = read_json(path) or {}
    try:
        kinds = {str(entry["id"]): str(entry["kind"]) for entry in data.get("stages", ())}
        chains = {str(entry["id"]): list(map(str, entry["stages"])) for entry in data.get("runs", ())}
    except (KeyError, TypeError, AttributeError):
        return earlier
    earlier.gone.update((stage_id, kind) for stage_id, kind in kinds.items() if stage_id not in whole.stages)
    for run_id, chain in chains.items():
        if run_id in run_ids and not all(stage_id in plan.stages for stage_id in chain):
            earlier.runs[run_id] = chain
    return earlier
