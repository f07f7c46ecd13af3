"""What `plan`, `sweep` and `resume` know before anything runs: estimates, limits, and what has changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.attempt.code_version import code_identity
from toolrl_cli.attempt.environment import installed_versions
from toolrl_cli.planning.changes.drift import Drift, find_drift
from toolrl_cli.planning.forecasts.forecast import Forecast, forecast
from toolrl_cli.planning.forecasts.limits import Limits, limits
from toolrl_cli.planning.forecasts.this_machine import this_machine
from toolrl_cli.planning.plan import Plan, PlannedStage
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.schemas import PRINTED


@dataclass(frozen=True)
class Outlook:
    """A plan with everything that can be said of it beforehand."""

    plan: Plan
    forecast: Forecast
    limits: Limits
    drift: Drift

    def to_json(self) -> dict[str, Any]:
        """The document of `plan --json`."""
        return {
            "schema": PRINTED,
            "sweep": self.plan.sweep,
            "runs": [run.to_json() for run in self.plan.runs],
            "stages": [self._stage(stage) for stage in self.plan.stages.values()],
            "totals": self.forecast.totals.to_json(),
            "limits": self.limits.to_json(),
            "drift": {
                "replaced": dict(self.drift.replaced),
                "changed": [drift.stage for drift in self.drift.changed],
                "gone": list(self.drift.gone),
                "looked_at": self.drift.looked,
                "finished": self.drift.finished,
            },
        }

    def _stage(self, stage: PlannedStage) -> dict[str, Any]:
        estimate = self.forecast.estimates.get(stage.spec.id)
        drift = self.drift.stages.get(stage.spec.id)
        return {
            **stage.to_json(),
            "estimate": estimate.to_json() if estimate else None,
            "drift": drift.to_json() if drift else None,
        }


def look_ahead(
    whole: Plan, chosen: Plan, results: Path, max_parallel: int | None, budget: float | None
) -> tuple[Forecast, Limits]:
    """Estimate a part of a sweep and hold it against the limits; arguments as of `outlook`.

    Raises:
        SpecError: its stages depend on each other in a circle.
        LedgerError: the results root cannot be read.
    """
    found = forecast(chosen, Ledger(results), this_machine(results), max_parallel, whole=whole)
    return found, limits(found.totals, budget, results)


def outlook(
    whole: Plan,
    chosen: Plan,
    results: Path,
    *,
    max_parallel: int | None = None,
    budget: float | None = None,
    explain: bool = False,
) -> Outlook:
    """Everything that can be said of a plan before it runs.

    Args:
        whole: the sweep.
        chosen: the part of it to run.
        results: the results root.
        max_parallel: most attempts at a time, or None.
        budget: GPU-hours for the sweep, or None.
        explain: also compare every stage that was never run with its nearest earlier one.

    Raises:
        LedgerError: the results root cannot be read.
    """
    ledger = Ledger(results)
    found, held = look_ahead(whole, chosen, results, max_parallel, budget)
    drift = find_drift(chosen, ledger, code_identity(), installed_versions(), explain=explain, whole=whole)
    return Outlook(chosen, found, held, drift)
