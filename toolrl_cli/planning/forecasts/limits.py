"""Limits that refuse to start: a budget of GPU-hours, the free space on disk, and the memory of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.planning.forecasts.forecast import Totals
from toolrl_cli.planning.forecasts.ranges import NONE
from toolrl_cli.planning.forecasts.sizes import GIB, disk_text, number_text
from toolrl_cli.wording import counted

MARGIN = GIB
"""Bytes that should stay free; where less than that is needed, as much as is needed."""


@dataclass(frozen=True)
class Limits:
    """How a plan stands to its limits.

    Attributes:
        budget: GPU-hours allowed for the whole sweep, or None.
        refusals: why it may not start; empty where it may.
        warnings: what may go wrong although it may start.
    """

    budget: float | None
    refusals: tuple[SpecError, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The value of `limits` in `plan --json`."""
        return {
            "budget_gpu_hours": self.budget,
            "refused": [str(refusal) for refusal in self.refusals],
            "warnings": list(self.warnings),
        }

    def check(self) -> None:
        """Raise the first refusal.

        Raises:
            SpecError: the plan is beyond a limit.
        """
        if self.refusals:
            raise self.refusals[0]


def limits(totals: Totals, budget: float | None, place: Path) -> Limits:
    """Hold what a plan will take against the limits.

    The budget is for the sweep, so what its attempts have used counts, whatever became of them. Disk that is
    unknown is taken as none: a run that fills the disk loses nothing and can be resumed, while a budget that
    cannot be kept is gone.

    Args:
        totals: of what is owed.
        budget: GPU-hours for the whole sweep, or None for no such limit.
        place: the results root.
    """
    refusals, warnings = [], []
    if budget is not None:
        refusal = _over_budget(totals, budget)
        if refusal is not None:
            refusals.append(refusal)
        elif totals.gpu_hours is not None and totals.gpu_hours_spent + totals.gpu_hours.high > budget:
            warnings.append(
                f"the budget of {budget:g} GPU-hours may not do: up to {number_text(totals.gpu_hours.high)} are needed"
            )
    for misfit in totals.host_misfits:
        more = f" and {len(misfit.stages) - 1} more" if len(misfit.stages) > 1 else ""
        what = f"needs {misfit.need_text} of memory, and there are {number_text(misfit.room / GIB)} GiB here"
        refusals.append(SpecError(what, f"{misfit.what} {misfit.stages[0]}{more}", misfit.ways))
    disk = totals.disk or NONE
    margin = min(MARGIN, disk.expected)
    free = f"{disk_text(totals.disk_free)} are free"
    if disk.expected + margin > totals.disk_free:
        spare = f" and {disk_text(margin)} to spare" if disk.expected <= totals.disk_free else ""
        least = "at least" if totals.unknown.get("disk") else "about"
        what = f"needs {least} {disk_text(disk.expected)} of disk{spare}, and {free}"
        hint = "free some space, keep fewer checkpoints (rl.keep_checkpoints), or use another disk with --results"
        refusals.append(SpecError(what, str(place), hint))
    elif disk.high > totals.disk_free:
        warnings.append(f"may need up to {disk_text(disk.high)} of disk, and {free} in {place}")
    warnings += [str(misfit) for misfit in totals.misfits]
    return Limits(budget, tuple(refusals), tuple(warnings))


def _over_budget(totals: Totals, budget: float) -> SpecError | None:
    where = f"--budget-gpu-hours {budget:g}"
    spent = f"{number_text(totals.gpu_hours_spent)} used so far" if totals.gpu_hours_spent else ""
    expected = (totals.gpu_hours or NONE).expected
    unknown = totals.unknown.get("gpu_hours", 0)
    if not expected and not unknown:
        return None  # what is owed needs no GPU, whatever has been used
    if totals.gpu_hours_spent + expected > budget:
        parts = f" ({spent}, {number_text(expected)} still owed)" if spent else ""
        least = "at least" if unknown else "about"
        what = f"{least} {number_text(totals.gpu_hours_spent + expected)} GPU-hours are needed{parts}"
        return SpecError(what, where, "raise the budget, or choose fewer runs with --only")
    if unknown:
        what = f"the GPU-hours of {counted(unknown, 'owed stage')} are unknown, so the budget cannot be kept"
        hint = "run one of each first, without a budget (--only RUN); the rest is then estimated from it"
        return SpecError(what, where, hint)
    return None
