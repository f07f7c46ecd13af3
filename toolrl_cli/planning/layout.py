"""From the runs of a sweep file to its plan; apart from `plan`, which is read where no run is resolved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from toolrl_cli.errors import SpecError
from toolrl_cli.planning.changes.known_stages import KnownStages
from toolrl_cli.planning.plan import Plan, lay_out
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stages import Facts, StageMaker
from toolrl_cli.spec.sweeps.resolve import Run
from toolrl_cli.store.ledger import Ledger


def make_plan(
    sweep: str,
    runs: Sequence[Run],
    facts: Facts,
    ledger: Ledger,
    *,
    tables: tuple[str, ...] = (),
    description: str = "",
    tracking: Mapping[str, Any] | None = None,
    launchers: Mapping[str, Any] | None = None,
    place: Callable[[str, Run], str] = lambda setting, run: setting,
) -> Plan:
    """Lay the runs' stages out as one graph and look up where each stands.

    Args:
        sweep: its name.
        runs: its runs.
        facts: what only the machine knows.
        ledger: where the stages stand.
        tables: names of the tables that the sweep asks for.
        description: of the sweep.
        tracking, launchers: what it says of W&B, and of launchers.
        place: where a run has a setting from, for messages.

    Raises:
        SpecError: a run has no stage, or a fingerprint cannot be taken.
        LedgerError: the results root cannot be read.
    """
    planned = []
    maker = StageMaker(facts, KnownStages(ledger).id_of)
    for run in runs:
        try:
            chain = maker.stages(run.spec)
        except SpecError as error:
            raise SpecError(error.what, place(error.where, run), error.hint) from None
        if not chain:
            raise SpecError(
                f"run {run.id!r} has nothing to do", sweep, "give it `evaluate:` or a non-empty `train:`"
            )
        planned.append(PlannedRun(sweep, run.id, run.arm, run.seed, run.settings, tuple(chain)))
    return lay_out(
        sweep,
        planned,
        ledger,
        tables=tables,
        description=description,
        tracking=tracking,
        launchers=launchers,
    )
