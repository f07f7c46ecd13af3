"""Running what a plan owes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toolrl_cli.api.plans import SweepPlan, plan, plan_resume
from toolrl_cli.attempt.ending import clear_lease
from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.harness.adoption import adopt
from toolrl_cli.harness.detaching import Detached, check_detachable
from toolrl_cli.harness.detaching import detach as detach_stages
from toolrl_cli.harness.launcher import LaunchPlan
from toolrl_cli.harness.launcher_settings import chosen_launcher, lasting
from toolrl_cli.harness.publishing import Publishing, concluded, owed
from toolrl_cli.harness.reach import Reach
from toolrl_cli.harness.scheduling.events import Event, Observer
from toolrl_cli.harness.scheduling.priorities import expected_seconds
from toolrl_cli.harness.scheduling.scheduler import Scheduler, check_slots
from toolrl_cli.harness.scheduling.scheduler_options import Options
from toolrl_cli.log import LOG
from toolrl_cli.planning.changes.previous_plan import read_earlier
from toolrl_cli.planning.forecasts.forecast import Forecast
from toolrl_cli.planning.outlook import look_ahead
from toolrl_cli.planning.plan import Plan
from toolrl_cli.planning.resuming import Confirm
from toolrl_cli.planning.rewinding import renew
from toolrl_cli.report.api import build_report
from toolrl_cli.report.computed import Report
from toolrl_cli.spec.sweeps.sweep_file import Mode
from toolrl_cli.store.failures import Failure
from toolrl_cli.store.files import make_folder
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.outputs import what_is_owed
from toolrl_cli.store.roots import command
from toolrl_cli.store.sweep_folder import SweepFolder
from toolrl_cli.tracking.place import choose_mode

if TYPE_CHECKING:
    import pandas as pd

INTERRUPTED = 130
DONE = "succeeded"


@dataclass(frozen=True)
class Outcome:
    """How running a plan came out.

    Attributes:
        sweep: its name.
        ends: stage id → `succeeded`, `failed`, `stopped`, `held`, `blocked` or `pending`, of the stages worked on.
        runs: run id → the same of its first stage that is not done; `succeeded` where all are.
        failures: stage id → why, of those that failed.
        blocked: why stages could not be started by this version → how many.
        interrupted: whether it was asked to stop.
        report: the sweep's report as it is now.
        folder: where the report's tables and curves were written; None where that was refused.
        tracking: what is not in W&B, and what to do; empty where all is.
        submitted: stages that a cluster was given to run by itself, with `detach`; nobody waited for their ends.
    """

    sweep: str
    ends: Mapping[str, str]
    runs: Mapping[str, str]
    failures: Mapping[str, Failure]
    blocked: Mapping[str, int]
    interrupted: bool
    report: Report = field(repr=False)
    folder: Path | None
    tracking: str = ""
    submitted: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """0 all succeeded, 1 something did not, 130 interrupted."""
        if all(end == DONE for end in self.ends.values()):
            return 1 if self.blocked else 0
        return INTERRUPTED if self.interrupted else 1

    @property
    def ok(self) -> bool:
        """Whether all is as asked."""
        return self.exit_status == 0

    def to_frame(self) -> pd.DataFrame:
        """A row for each stage worked on: stage, end, failure (its class), message; both empty without a failure."""
        import pandas as pd

        rows = []
        for stage_id, end in self.ends.items():
            failure = self.failures.get(stage_id)
            told = (failure.kind, failure.message) if failure else ("", "")
            rows.append((stage_id, end, *told))
        return pd.DataFrame(rows, columns=["stage", "end", "failure", "message"])

    def _repr_html_(self) -> str:
        """What a notebook shows: the stages that did not succeed, and the report."""
        wrong = self.to_frame().query(f"end != '{DONE}'")
        told = f"<p>{len(wrong)} stages did not succeed</p>{wrong.to_html(index=False)}" if len(wrong) else ""
        return told + self.report._repr_html_()


def run(
    sweep: SweepPlan | Path | str | Mapping[str, Any],
    *,
    results: Path | str | None = None,
    sets: Iterable[str] = (),
    profile: str | None = None,
    only: str | None = None,
    launcher: str | None = None,
    max_parallel: int | None = None,
    wandb: str | None = None,
    fail_fast: bool = False,
    budget: float | None = None,
    detach: bool = False,
    observe: Observer | None = None,
) -> Outcome:
    """Run what a sweep still owes: called again, only the rest runs. Writes the report.

    Prints nothing; what a person should know meanwhile goes to the logger `toolrl`. SIGINT and SIGTERM stop it in good
    order where this is the main thread.

    Args:
        sweep: a plan, or what `plan` takes.
        results, sets, profile, only: as in `plan`; a plan has its own.
        launcher: where attempts run: `NAME`, or `NAME:FILE` with a file of its settings; None: where the sweep was
            last given to, at first this machine.
        max_parallel: most attempts at a time; None: as planned, else one for each GPU; on CPUs one, or one for each
            processor where models are small.
        wandb: online, offline or disabled; None: as the environment says.
        fail_fast: stop everything when one stage has failed for good.
        budget: GPU-hours that the sweep may take, what it has used included; None: as planned.
        detach: give all of it to the launcher's cluster, each stage after its inputs, and return; nothing is
            published meanwhile, and W&B is filled by `toolrl sync`.
        observe: takes every event; where it is a context manager as well, it is entered while stages run.

    Raises:
        SpecError: as `plan`; or an unknown launcher or W&B mode, or the plan is beyond the budget or the disk.
        LaunchError: a stage needs more slots than there are, or slots cannot be locked.
        LedgerError: the results root cannot be read or written, or a stage that is to be set back is at work.
    """
    if not isinstance(sweep, SweepPlan):
        sweep = plan(sweep, results=results, sets=sets, profile=profile, only=only, fetch=True)
    elif results is not None or tuple(sets) or profile is not None or only is not None:
        what = "is planned already, and takes no results, sets, profile or only"
        raise SpecError(what, f"sweep {sweep.name}", "give them to `plan`")
    return _execute(
        sweep,
        launcher,
        max_parallel or sweep.max_parallel,
        sweep.budget if budget is None else budget,
        wandb,
        fail_fast,
        observe or _ignore,
        detach,
    )


def resume(
    name: str | None = None,
    *,
    results: Path | str | None = None,
    only: str | None = None,
    failed: bool = False,
    stage: str | None = None,
    from_step: int | None = None,
    fresh: bool = False,
    allow_imperfect_gold: bool = False,
    confirm: Confirm | None = None,
    launcher: str | None = None,
    max_parallel: int | None = None,
    wandb: str | None = None,
    fail_fast: bool = False,
    budget: float | None = None,
    detach: bool = False,
    observe: Observer | None = None,
) -> Outcome:
    """Go on with a sweep by its name, from the plan that was frozen when it was started.

    Arguments and errors are those of `plan_resume` and `run`.
    """
    planned = plan_resume(
        name,
        results=results,
        only=only,
        failed=failed,
        stage=stage,
        from_step=from_step,
        fresh=fresh,
        allow_imperfect_gold=allow_imperfect_gold,
        max_parallel=max_parallel,
        budget=budget,
        confirm=confirm,
    )
    return run(planned, launcher=launcher, wandb=wandb, fail_fast=fail_fast, detach=detach, observe=observe)


def _ignore(event: Event) -> None:
    """Observes nothing."""


def _execute(
    planned: SweepPlan,
    launcher_name: str | None,
    max_parallel: int | None,
    budget: float | None,
    wandb: str | None,
    fail_fast: bool,
    observe: Observer,
    detach: bool = False,
) -> Outcome:
    name, folder, ledger = planned.name, SweepFolder(planned.results, planned.name), Ledger(planned.results)
    if launcher_name is None:
        launcher_name = folder.launcher() or "local"
        if launcher_name != "local":
            LOG.info("%s: goes on with --launcher %s, as before", name, launcher_name)
    kind, settings = chosen_launcher(launcher_name, planned.whole.launchers)
    if detach:
        check_detachable(kind, max_parallel=max_parallel, fail_fast=fail_fast)
    mode = choose_mode(wandb, planned.whole.tracking)
    where = () if launcher_name == "local" else ("--launcher", launcher_name)
    again = command("resume", planned.name, *where, results=planned.results)
    # the whole sweep is what gets frozen, so that the report shows what is missing; the chosen part is run
    whole, chosen, results, owed = planned.whole, planned.chosen, planned.results, planned.chosen.owed
    ahead, limits = look_ahead(whole, chosen, results, max_parallel, budget)
    launcher = None
    if owed:
        limits.check()
        specs = [stage.spec for stage in chosen.stages.values()]
        kind.check_nodes(owed)
        launcher = kind.open(
            LaunchPlan(f"sweep {name} in {results}", specs, max_parallel, ahead.totals.parallel, settings)
        )
        check_slots(owed, launcher)
    make_folder(results)
    if original := adopt(results):
        LOG.info("%s is a copy of %s; what runs there is left alone", results, original)
    if dropped := folder.needed() - set(whole.stages):
        LOG.warning(
            "%s: a harness at work follows an earlier plan; what it needs and this plan has not stays (stages: %d); "
            "`%s` ends it",
            *(name, len(dropped), command("stop", name, results=results)),
        )
    _warn_of_lost(planned, ledger)
    folder.save(whole, planned.document.source.text if planned.document else None)
    folder.launched(lasting(launcher_name))
    for stage_id, how in (
        *planned.resumption.set_back(ledger),
        *renew(ledger, chosen.losses, alive=Reach().alive),
    ):
        LOG.info("%s: %s", stage_id, how)
    _clear_leases(chosen, ledger)
    beside: Literal["loggers", "disabled"] = "loggers" if whole.tracking.get("loggers") else "disabled"
    if launcher is None:
        able = len(chosen.stages) - chosen.why_blocked().total()
        LOG.info("%s: nothing to do%s", name, f", all {able} stages are done" if able else "")
        done = _finish(planned, {}, again, interrupted=False)
        return replace(done, tracking=_told_late(planned, mode, beside))
    LOG.info("%s: %d of %d stages owed; results in %s", name, len(owed), len(chosen.stages), results)
    for warning in limits.warnings:
        LOG.warning("%s", warning)
    if detach:
        return _detached(planned, detach_stages(owed, ledger, launcher), again)
    LOG.info("W&B: %s", _wandb_told(mode, results, name))
    with Publishing(results, name, mode) as publishing, Publishing(results, name, beside) as logging:
        shown = observe if isinstance(observe, AbstractContextManager) else nullcontext()
        with folder.attended(chosen.stages), shown:
            observe(Event("began", seconds=_expected(ahead)))
            scheduler = Scheduler(
                owed,
                ledger,
                launcher,
                options=Options(
                    max_parallel=max_parallel,
                    fail_fast=fail_fast,
                    take_over=command("stop", name, "--take-over", results=results),
                ),
                observe=observe,
                seconds=lambda spec: ahead.seconds(spec, expected_seconds(spec)),
            )
            outcome = scheduler.run()
        if outcome.exit_code:
            LOG.info("%s", _summary(planned, outcome.stages, outcome.interrupted, again))
        done = _finish(planned, outcome.stages, again, interrupted=outcome.interrupted)
        return replace(done, tracking=concluded(publishing, logging))


def _warn_of_lost(planned: SweepPlan, ledger: Ledger) -> None:
    """Say which finished runs the plan that is about to be replaced had alone: another file may have the same name."""
    lost = read_earlier(ledger, planned.whole, planned.whole).lost
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        LOG.warning(
            "%s: no longer in its tables, for this plan does not have them: %s%s; what they left stays until "
            "`toolrl gc --unreferenced` (another `name:` keeps both plans)",
            *(planned.name, ", ".join(lost[:3]), more),
        )


def _told_late(planned: SweepPlan, mode: Mode, beside: Literal["loggers", "disabled"]) -> str:
    """Tell W&B and the loggers of runs whose stages were all there before: of another sweep's, or not told in time."""
    done = [
        run.id
        for run in planned.chosen.runs
        if all(planned.whole.stages[stage.id].status == DONE for stage in run.stages)
    ]
    modes = [m for m in (mode, beside) if owed(planned.results, planned.name, m, done)]
    if mode in modes and done:
        LOG.info("W&B: %s", _wandb_told(mode, planned.results, planned.name))
    return concluded(*(Publishing(planned.results, planned.name, m) for m in modes if done))


def _detached(planned: SweepPlan, done: Detached, again: str) -> Outcome:
    """Say what the cluster was given and how to see it."""
    name, results = planned.name, planned.results
    LOG.info(
        "%s: %d submitted, %d already at work; `%s` shows how they stand, `%s` ends them",
        *(name, len(done.submitted), len(done.at_work)),
        *(command("status", name, results=results), command("stop", name, results=results)),
    )
    for why, number in Counter(done.left.values()).items():
        LOG.warning("%s: %d not submitted: %s; issue the command again", name, number, why)
    outcome = _finish(planned, {}, again, interrupted=False)
    return replace(outcome, ends=dict.fromkeys(done.left, "pending"), submitted=tuple(done.submitted))


def _expected(ahead: Forecast) -> dict[str, float]:
    """Owed stage → seconds that it is expected to add, as so many run side by side; empty where one is not known."""
    spans = {stage: estimate.seconds for stage, estimate in ahead.estimates.items()}
    side_by_side = max(1, min(ahead.totals.slots, ahead.totals.parallel))
    known = {stage: span.expected / side_by_side for stage, span in spans.items() if span is not None}
    return known if len(known) == len(spans) else {}


def _wandb_told(mode: Mode, results: Path, name: str) -> str:
    """What becomes of the run's numbers in W&B."""
    if mode != "offline":
        return mode
    sends = command("sync", name, "--wandb", "online", results=results)
    return f"offline, in {results / 'wandb'}; `wandb login`, then `{sends}`, sends it"


def _clear_leases(chosen: Plan, ledger: Ledger) -> None:
    """Remove what attempts left that were killed right after their last word; nobody else looks at them again."""
    reach = Reach()
    for stage in chosen.stages.values():
        if stage.status == DONE:
            clear_lease(ledger.folder(stage.spec), alive=reach.alive)


def _summary(planned: SweepPlan, ends: Mapping[str, str], interrupted: bool, again: str) -> str:
    """What was not done, and how to go on."""
    counts = Counter(end for end in ends.values() if end != DONE)
    told = ", ".join(f"{number} {end}" for end, number in counts.items())
    lead = "interrupted; " if interrupted else ""
    if counts["held"]:
        free = command("stop", planned.name, "--take-over", results=planned.results)
        told += f"; where the owner of what is held is gone, `{free}` frees it"
    mended = "; `toolrl sweep` takes what you have changed in its files" if counts["failed"] else ""
    return f"{planned.name}: {lead}{told}; `{again}` goes on from here{mended}"


def _unanswered(planned: SweepPlan, ends: Mapping[str, str], ledger: Ledger, again: str) -> dict[str, str]:
    """The ends of evaluations that have succeeded with items that are still owed, which are told of."""
    found = {}
    for stage_id, end in ends.items():
        spec = planned.chosen.stages[stage_id].spec
        owed = what_is_owed(ledger.folder(spec), ledger.read(spec)) if end == DONE else ""
        if owed:
            found[stage_id] = "pending"
            LOG.warning("%s: %s; `%s` asks again, and no other items", stage_id, owed, again)
    return found


def _finish(planned: SweepPlan, ends: Mapping[str, str], again: str, *, interrupted: bool) -> Outcome:
    """Write the report, unless nothing has changed since it was written."""
    chosen, name, ledger = planned.chosen, planned.name, Ledger(planned.results)
    ends = {**ends, **_unanswered(planned, ends, ledger, again)}
    report = build_report(planned.results, [name])
    folder: Path | None = planned.results / "sweeps" / name / "report"
    if folder is not None and (ends or not folder.is_dir()):
        try:
            report.write_report(folder, figures=("png",))
        except LedgerError as error:
            LOG.warning("%s", error)
            folder = None
    states = {i: ledger.read(chosen.stages[i].spec) for i, end in ends.items() if end == "failed"}
    failures = {i: state.failure for i, state in states.items() if state.failure is not None}
    now = {i: ends.get(i, stage.status) for i, stage in chosen.stages.items()}
    runs = {
        run.id: next((now[s.id] for s in run.stages if now.get(s.id, DONE) != DONE), DONE)
        for run in chosen.runs
    }
    return Outcome(name, dict(ends), runs, failures, chosen.why_blocked(), interrupted, report, folder)
