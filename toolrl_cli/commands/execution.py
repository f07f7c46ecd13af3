"""Running a plan: what `sweep` and `resume` share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from toolrl_cli.commands.failures import OK
from toolrl_cli.commands.live import LiveView
from toolrl_cli.commands.options import note
from toolrl_cli.commands.report import print_report
from toolrl_cli.engine.events import Event
from toolrl_cli.engine.launchers.base import Launcher
from toolrl_cli.engine.launchers.local import LocalLauncher
from toolrl_cli.engine.ledger import Ledger
from toolrl_cli.engine.plan import Plan
from toolrl_cli.engine.publishing import Publisher
from toolrl_cli.engine.scheduler import Options, Scheduler
from toolrl_cli.engine.sweep_folder import SweepFolder
from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.report.api import build_report
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.tracking.wandb_runs import choose_mode

LAUNCHERS = ("local",)


@dataclass(frozen=True)
class Execution:
    """How a command wants its plan run."""

    results: Path
    launcher: str = "local"
    max_parallel: int | None = None
    wandb: str | None = None
    fail_fast: bool = False
    as_json: bool = False


def execute(plan: Plan, chosen: Plan, text: str | None, options: Execution) -> int:
    """Run what `chosen` owes, publish it, write and print the report.

    Args:
        plan: the whole sweep; it is what gets frozen, so that the report shows what is missing.
        chosen: the part to run now.
        text: the sweep file as given; None to keep the one on disk.

    Returns:
        The exit status: 0 all succeeded, 1 something failed, 130 interrupted.

    Raises:
        SpecError: unknown launcher.
        TrackingError: unknown W&B mode.
        LedgerError: the results root cannot be written.
    """
    if options.launcher not in LAUNCHERS:
        hint = hint_for(options.launcher, LAUNCHERS, "launchers")
        raise SpecError(f"unknown launcher {options.launcher!r}", "--launcher", hint)
    mode = choose_mode(options.wandb)
    folder = SweepFolder(options.results, plan.sweep)
    folder.save(plan, text)
    owed = chosen.owed
    if not owed:
        note(f"{plan.sweep}: nothing to do, all {len(chosen.stages)} stages are done")
        return _finish(plan, options, OK, fresh=False)
    note(f"{plan.sweep}: {len(owed)} of {len(chosen.stages)} stages owed; results in {options.results}")
    publisher = Publisher(chosen.runs, options.results, mode)
    try:
        with folder.attended(), LiveView(chosen, quiet=options.as_json) as view:

            def observe(event: Event) -> None:
                view.notice(event)
                publisher.notice(event)

            scheduler = Scheduler(
                owed,
                Ledger(options.results),
                _launcher(chosen, options),
                options=Options(max_parallel=options.max_parallel, fail_fast=options.fail_fast),
                observe=observe,
            )
            outcome = scheduler.run()
    finally:
        publisher.close()
    for run, fault in publisher.faults.items():
        note(f"warning: {run} is not in W&B: {fault}; `toolrl sync {plan.sweep}` tries again")
    return _finish(plan, options, outcome.exit_code)


def _launcher(plan: Plan, options: Execution) -> Launcher:
    """GPU slots where there are GPUs and the plan may use them, CPU slots otherwise."""
    wanted = max(options.max_parallel or 1, *(s.spec.slots for s in plan.stages.values()))
    devices = {s.spec.config.get("resources", {}).get("device", "auto") for s in plan.stages.values()}
    if devices <= {"cpu"}:
        return LocalLauncher([f"cpu{n}" for n in range(wanted)])
    return LocalLauncher.detect(cpu_slots=wanted)


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
