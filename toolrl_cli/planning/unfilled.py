"""Sweeps whose report would be empty: said when they are planned, not when all is trained."""

from __future__ import annotations

from collections.abc import Sequence

from toolrl_cli.planning.plan import Plan
from toolrl_cli.report.arms import Arm, collect_arms, fitting, holds
from toolrl_cli.report.sources.results import Run, Stage, Sweep
from toolrl_cli.report.table_spec import TableSpec, load_table
from toolrl_cli.report.unmet import unmet_conditions
from toolrl_cli.store.ledger import Ledger


def unfilled_warnings(plan: Plan, tables: Sequence[str], ledger: Ledger) -> list[str]:
    """Lines on a sweep that evaluates nothing, and on tables that no run of it can fill.

    Args:
        plan: the sweep.
        tables: those that it names.
        ledger: where its stages are.

    Raises:
        SpecError: a table cannot be read.
    """
    stages = (stage for run in plan.runs for stage in run.stages if stage.kind == "evaluate")
    evaluated = list(dict.fromkeys(str(stage.config["benchmark"]) for stage in stages))
    if not evaluated:
        return [
            "nothing is evaluated, so that no table will have a row (add `evaluate: [toolworld]`, or another "
            "benchmark; added later, nothing is trained again for it)"
        ]
    arms = _arms(plan, ledger) if tables else []
    return [line for name in tables for line in _unfilled(name, load_table(name), evaluated, arms)]


def _unfilled(name: str, table: TableSpec, evaluated: Sequence[str], arms: Sequence[Arm]) -> list[str]:
    wanted = list(dict.fromkeys(column.benchmark or table.benchmark for column in table.columns))
    if not set(wanted) & set(evaluated):
        told = f"reads {', '.join(wanted)}, and the runs are evaluated on {', '.join(evaluated)}"
        return [f"the table {name} will be empty: it {told} (change `tables:` or `evaluate:`)"]
    unmet = [f"the table {name}: {line[0].lower()}{line[1:-1]}" for line in unmet_conditions(table, arms)]
    known = fitting(arms, table.filter)
    rows = table.rows
    if not known or (
        isinstance(rows, list) and not any(holds(arm, row.where) for arm in known for row in rows)
    ):
        what = "its filter" if not known else "any of its rows"
        return unmet or [
            f"the table {name} will be empty: no arm fits {what} (change `tables:`, or the table)"
        ]
    return unmet


def _arms(plan: Plan, ledger: Ledger) -> list[Arm]:
    """The plan's arms as a report sees them."""
    runs = [
        Run(
            id=run.id,
            sweep=plan.sweep,
            arm=run.arm,
            seed=run.seed,
            settings=run.settings,
            stages=tuple(Stage(spec, ledger.folder(spec).path, "pending") for spec in run.stages),
            evaluations=(),
        )
        for run in plan.runs
    ]
    return collect_arms([Sweep(plan.sweep, tuple(runs), plan.tables)])
