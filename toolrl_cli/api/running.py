"""Running what a plan owes: what `toolrl sweep`, `toolrl resume` and `toolrl_cli.api.run` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.attempt.ending import clear_lease
from toolrl_cli.errors import LedgerError
from toolrl_cli.harness.events import Event, Observer
from toolrl_cli.harness.launcher import LAUNCHERS, LaunchPlan
from toolrl_cli.harness.priorities import expected_seconds
from toolrl_cli.harness.publishing import Publisher
from toolrl_cli.harness.scheduler import Scheduler, check_slots
from toolrl_cli.harness.scheduler_options import Options
from toolrl_cli.planning.outlook import look_ahead
from toolrl_cli.planning.plan import Plan
from toolrl_cli.planning.rewinding import renew
from toolrl_cli.report.api import Report, build_report
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.tracking.wandb_runs import choose_mode

if TYPE_CHECKING:
    import pandas as pd

INTERRUPTED = 130


@dataclass(frozen=True)
class Execution:
    """How a plan is run.

    Attributes:
        results: the results root.
        launcher: name of the launcher.
        max_parallel: most attempts at a time; None: one for each GPU, or one on a CPU.
        wandb: online, offline or disabled; None: as the environment says.
        fail_fast: stop everything when one stage has failed for good.
        budget: GPU-hours that the sweep may take, what it has used included; None for any.
    """

    results: Path
    launcher: str = "local"
    max_parallel: int | None = None
    wandb: str | None = None
    fail_fast: bool = False
    budget: float | None = None


@contextmanager
def unseen(plan: Plan) -> Iterator[Observer]:
    """Observes nothing."""
    yield lambda event: None


@dataclass(frozen=True)
class Watch:
    """What whoever runs a plan is told meanwhile.

    Attributes:
        note: takes lines for people.
        observing: gives a context for the plan that is worked on, whose value takes every event.
    """

    note: Callable[[str], None] = lambda line: None
    observing: Callable[[Plan], AbstractContextManager[Observer]] = unseen


SILENT = Watch()
"""Tells nobody."""


@dataclass(frozen=True)
class Outcome:
    """How running a plan came out.

    Attributes:
        sweep: its name.
        ends: stage id → `succeeded`, `failed`, `stopped`, `held`, `blocked` or `pending`, of the stages worked on.
        failures: stage id → why, of those that failed.
        blocked: why stages could not be started by this version → how many.
        interrupted: whether it was asked to stop.
        report: the sweep's report as it is now.
        folder: where the report's tables and curves were written; None where that was refused.
    """

    sweep: str
    ends: Mapping[str, str]
    failures: Mapping[str, Failure]
    blocked: Mapping[str, int]
    interrupted: bool
    report: Report = field(repr=False)
    folder: Path | None

    @property
    def exit_status(self) -> int:
        """0 all succeeded, 1 something did not, 130 interrupted."""
        if all(end == "succeeded" for end in self.ends.values()):
            return 1 if self.blocked else 0
        return INTERRUPTED if self.interrupted else 1

    @property
    def ok(self) -> bool:
        """Whether all is as asked."""
        return self.exit_status == 0

    def to_frame(self) -> pd.DataFrame:
        """A row for each stage worked on: stage, end, failure class, message."""
        import pandas as pd

        rows = [
            (
                i,
                end,
                failure.kind if (failure := self.failures.get(i)) else "",
                failure.message if failure else "",
            )
            for i, end in self.ends.items()
        ]
        return pd.DataFrame(rows, columns=["stage", "end", "failure", "message"])

    def _repr_html_(self) -> str:
        """What a notebook shows: the stages that did not succeed, and the report."""
        wrong = self.to_frame().query("end != 'succeeded'")
        table = (
            f"<p>{len(wrong)} stages did not succeed</p>{wrong.to_html(index=False)}" if len(wrong) else ""
        )
        return table + self.report._repr_html_()


def execute(
    plan: Plan,
    chosen: Plan,
    text: str | None,
    options: Execution,
    set_back: Callable[[], Iterable[tuple[str, str]]] = tuple,
    watch: Watch = SILENT,
) -> Outcome:
    """Run what `chosen` owes, publish it, and write the report.

    SIGINT and SIGTERM stop it in good order where this is the main thread.

    Args:
        plan: the whole sweep; it is what gets frozen, so that the report shows what is missing.
        chosen: the part to run now.
        text: the sweep file as given; None to keep the one on disk.
        options: how.
        set_back: sets stages back as the plan has them already, once nothing stands in the way; (id, how).
        watch: what is told meanwhile.

    Raises:
        SpecError: unknown launcher or W&B mode, or the plan is beyond the budget or the disk.
        LaunchError: a stage needs more slots than there are, or slots cannot be locked.
        LedgerError: the results root cannot be written, or a stage that is to be set back is at work.
    """
    kind, mode = LAUNCHERS.get(options.launcher, "--launcher"), choose_mode(options.wandb)
    folder, ledger, owed = SweepFolder(options.results, plan.sweep), Ledger(options.results), chosen.owed
    ahead, limits = look_ahead(plan, chosen, options.results, options.max_parallel, options.budget)
    launcher = None
    if owed:
        limits.check()
        specs = [stage.spec for stage in chosen.stages.values()]
        launcher = kind.open(
            LaunchPlan(f"sweep {plan.sweep} in {options.results}", specs, options.max_parallel)
        )
        check_slots(owed, launcher)
    folder.save(plan, text)
    for stage_id, how in (*set_back(), *renew(ledger, chosen.losses)):
        watch.note(f"{stage_id}: {how}")
    _clear_leases(chosen, ledger)
    if launcher is None:
        able = len(chosen.stages) - chosen.why_blocked().total()
        watch.note(f"{plan.sweep}: nothing to do" + (f", all {able} stages are done" if able else ""))
        return _finish(plan, chosen, options, watch, {}, interrupted=False)
    watch.note(f"{plan.sweep}: {len(owed)} of {len(chosen.stages)} stages owed; results in {options.results}")
    for warning in limits.warnings:
        watch.note(f"warning: {warning}")
    publisher = Publisher(chosen.runs, options.results, mode)
    try:
        with folder.attended(), watch.observing(chosen) as view:

            def observe(event: Event) -> None:
                view(event)
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
        watch.note(f"{run}: {how}")
    for run, fault in publisher.faults.items():
        watch.note(f"warning: {run} is not in W&B: {fault}; `toolrl sync {plan.sweep}` tries again")
    if outcome.exit_code:
        watch.note(_summary(plan.sweep, outcome.stages, outcome.interrupted))
    return _finish(plan, chosen, options, watch, outcome.stages, interrupted=outcome.interrupted)


def _clear_leases(chosen: Plan, ledger: Ledger) -> None:
    """Remove what attempts left that were killed right after their last word; nobody else looks at them again."""
    for stage in chosen.stages.values():
        if stage.status == "succeeded":
            clear_lease(ledger.folder(stage.spec))


def _summary(sweep: str, ends: Mapping[str, Any], interrupted: bool) -> str:
    """What was not done, and how to go on."""
    counts = Counter(end for end in ends.values() if end != "succeeded")
    told = ", ".join(f"{number} {end}" for end, number in counts.items())
    lead = "interrupted; " if interrupted else ""
    return f"{sweep}: {lead}{told}; `toolrl resume {sweep}` goes on from here"


def _finish(
    plan: Plan, chosen: Plan, options: Execution, watch: Watch, ends: Mapping[str, Any], *, interrupted: bool
) -> Outcome:
    """Write the report, unless nothing has changed since it was written."""
    report = build_report(options.results, [plan.sweep])
    directory: Path | None = options.results / "sweeps" / plan.sweep / "report"
    if directory is not None and (ends or not directory.is_dir()):
        try:
            report.write_report(directory, figures=("png",))
        except LedgerError as error:
            watch.note(f"warning: {error}")
            directory = None
    states = {
        i: Ledger(options.results).folder(chosen.stages[i].spec).state() for i in ends if ends[i] == "failed"
    }
    failures = {i: state.failure for i, state in states.items() if state.failure is not None}
    return Outcome(plan.sweep, dict(ends), failures, chosen.why_blocked(), interrupted, report, directory)
