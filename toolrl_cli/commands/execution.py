"""Running a plan: what `sweep` and `resume` share."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from toolrl_cli.attempt.ending import clear_lease
from toolrl_cli.commands.exit_status import FAILED, OK
from toolrl_cli.commands.live import LiveView
from toolrl_cli.commands.options import note
from toolrl_cli.commands.report import print_report
from toolrl_cli.errors import LedgerError
from toolrl_cli.harness.events import Event, Outcome
from toolrl_cli.harness.launcher import LAUNCHERS, LaunchPlan
from toolrl_cli.harness.priorities import expected_seconds
from toolrl_cli.harness.publishing import Publisher
from toolrl_cli.harness.scheduler import Scheduler, check_slots
from toolrl_cli.harness.scheduler_options import Options
from toolrl_cli.planning.outlook import look_ahead
from toolrl_cli.planning.plan import Plan
from toolrl_cli.planning.rewinding import renew
from toolrl_cli.report.api import build_report
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.tracking.wandb_runs import choose_mode


@dataclass(frozen=True)
class Execution:
    """How a command wants its plan run."""

    results: Path
    launcher: str = "local"
    max_parallel: int | None = None
    wandb: str | None = None
    fail_fast: bool = False
    as_json: bool = False
    budget: float | None = None


def execute(
    plan: Plan,
    chosen: Plan,
    text: str | None,
    options: Execution,
    set_back: Callable[[], Iterable[tuple[str, str]]] = tuple,
) -> int:
    """Run what `chosen` owes, publish it, write and print the report.

    Args:
        plan: the whole sweep; it is what gets frozen, so that the report shows what is missing.
        chosen: the part to run now.
        text: the sweep file as given; None to keep the one on disk.
        set_back: sets stages back as the plan has them already, once nothing stands in the way; (id, how).

    Returns:
        The exit status: 0 all succeeded, 1 something failed, 130 interrupted.

    Raises:
        SpecError: unknown launcher or W&B mode, or the plan is beyond the budget or the disk.
        LaunchError: a stage needs more slots than there are, or slots cannot be locked.
        LedgerError: the results root cannot be written, or a stage that is to be set back is at work.
    """
    kind = LAUNCHERS.get(options.launcher, "--launcher")
    mode = choose_mode(options.wandb)
    folder = SweepFolder(options.results, plan.sweep)
    owed = chosen.owed
    ahead, limits = look_ahead(plan, chosen, options.results, options.max_parallel, options.budget)
    ledger = Ledger(options.results)
    if owed:
        limits.check()
        specs = [stage.spec for stage in chosen.stages.values()]
        by = f"sweep {plan.sweep} in {options.results}"
        launcher = kind.open(LaunchPlan(by, specs, options.max_parallel))
        check_slots(owed, launcher)
    folder.save(plan, text)
    for stage_id, how in (*set_back(), *renew(ledger, chosen.losses)):
        note(f"{stage_id}: {how}")
    _clear_leases(chosen, ledger)
    if not owed:
        able = len(chosen.stages) - chosen.why_blocked().total()
        note(f"{plan.sweep}: nothing to do" + (f", all {able} stages are done" if able else ""))
        return _told_blocked(chosen, _finish(plan, options, OK, fresh=False))
    note(f"{plan.sweep}: {len(owed)} of {len(chosen.stages)} stages owed; results in {options.results}")
    for warning in limits.warnings:
        note(f"warning: {warning}")
    publisher = Publisher(chosen.runs, options.results, mode)
    try:
        with folder.attended(), LiveView(chosen, quiet=options.as_json) as view:

            def observe(event: Event) -> None:
                view.notice(event)
                publisher.notice(event)

            scheduler = Scheduler(
                owed,
                ledger,
                launcher,
                options=Options(max_parallel=options.max_parallel, fail_fast=options.fail_fast),
                observe=observe,
                seconds=lambda spec: ahead.seconds(spec, expected_seconds(spec)),
            )
            outcome = scheduler.run()
    finally:
        publisher.close()
    for run, how in publisher.replaced.items():
        note(f"{run}: {how}")
    for run, fault in publisher.faults.items():
        note(f"warning: {run} is not in W&B: {fault}; `toolrl sync {plan.sweep}` tries again")
    if outcome.exit_code != OK:
        note(_summary(plan.sweep, outcome))
    return _told_blocked(chosen, _finish(plan, options, outcome.exit_code))


def _clear_leases(chosen: Plan, ledger: Ledger) -> None:
    """Remove what attempts left that were killed right after their last word; nobody else looks at them again."""
    for stage in chosen.stages.values():
        if stage.status == "succeeded":
            clear_lease(ledger.folder(stage.spec))


def _told_blocked(chosen: Plan, status: int) -> int:
    """Say in one line what could not run; then not all is as asked."""
    reasons = [
        f"{reason} ({count} stage{'' if count == 1 else 's'})"
        for reason, count in chosen.why_blocked().items()
    ]
    if reasons:
        note(f"{chosen.sweep}: not run: {'; '.join(reasons)}")
    return FAILED if reasons and status == OK else status


def _summary(sweep: str, outcome: Outcome) -> str:
    """What was not done, and how to go on."""
    counts = Counter(end for end in outcome.stages.values() if end != "succeeded")
    told = ", ".join(f"{number} {end}" for end, number in counts.items())
    lead = "interrupted; " if outcome.interrupted else ""
    return f"{sweep}: {lead}{told}; `toolrl resume {sweep}` goes on from here"


def _finish(plan: Plan, options: Execution, status: int, *, fresh: bool = True) -> int:
    """Write the report (unless nothing has changed since it was written) and print its tables."""
    report = build_report(options.results, [plan.sweep])
    directory = options.results / "sweeps" / plan.sweep / "report"
    if fresh or not directory.is_dir():
        try:
            report.write_report(directory, figures=("png",))
        except LedgerError as error:
            note(f"warning: {error}")
    print_report(report, "json" if options.as_json else "terminal")
    if status == OK and not options.as_json:
        note(f"tables and curves: {os.path.relpath(directory)}")
    return status
