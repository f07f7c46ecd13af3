"""`toolrl resume`: go on with a sweep whose file is not at hand, by its name."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from toolrl_cli.commands.options import (
    AllowImperfectGold,
    AsJson,
    Budget,
    FailFast,
    Launcher,
    MaxParallel,
    Only,
    Results,
    SweepName,
    WandbMode,
    note,
    results_root,
)

if TYPE_CHECKING:
    from toolrl_cli.planning.plan import Plan
    from toolrl_cli.planning.selecting import Selection
    from toolrl_cli.spec.planned_run import PlannedRun
    from toolrl_cli.spec.stage import StageSpec
    from toolrl_cli.store.ledger import Ledger


def resume(
    name: SweepName = None,
    only: Only = None,
    failed: Annotated[
        bool,
        typer.Option("--failed", help="Only stages whose last attempt failed, and what depends on them."),
    ] = False,
    stage: Annotated[
        str | None,
        typer.Option(
            "--stage",
            metavar="ID|KIND",
            help="Only this stage, or this kind, and what it needs.",
            show_default=False,
        ),
    ] = None,
    from_step: Annotated[
        int | None,
        typer.Option(
            "--from-step",
            metavar="N",
            min=1,
            help="RL stages go on from step N's checkpoint.",
            show_default=False,
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start the stages anew; what they have is set aside.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Set a whole sweep back without asking.")] = False,
    max_parallel: MaxParallel = None,
    budget: Budget = None,
    launcher: Launcher = "local",
    wandb: WandbMode = None,
    fail_fast: FailFast = False,
    allow_imperfect_gold: AllowImperfectGold = False,
    results: Results = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a sweep by its name.

    Runs what is still owed, from the plan that was frozen when it was started. --from-step and --fresh set
    stages back first, with all that reads them; nothing is deleted.
    """
    from toolrl_cli.api.running import Execution
    from toolrl_cli.commands.views.run_and_show import run_and_show
    from toolrl_cli.planning.plan import lay_out
    from toolrl_cli.planning.rewinding import set_back, with_readers
    from toolrl_cli.planning.selecting import part, select
    from toolrl_cli.store.ledger import Ledger
    from toolrl_cli.store.sweep_folder import saved_sweep

    root = results_root(results)
    saved, ledger = saved_sweep(root, name), Ledger(root)
    runs = _allowing(saved.runs) if allow_imperfect_gold else saved.runs

    def planned(gone_back: Mapping[str, str] | None = None) -> Plan:
        return lay_out(
            saved.name,
            runs,
            ledger,
            tables=saved.tables,
            description=saved.description,
            set_back=gone_back,
        )

    plan = planned()
    chosen = plan.selected(only)
    selection = select(chosen, stage=stage, failed=failed)
    options = Execution(root, launcher, max_parallel, wandb, fail_fast, budget)
    if fresh or from_step is not None:
        explicit = only is not None or stage is not None or failed
        targets = _targets(ledger, plan, chosen, selection, from_step, fresh, stage, explicit or yes)
        asked = f"resume {_option(from_step)}"
        # everything that may refuse looks at the plan as it will be; only then is a stage set back
        before, plan = plan, planned(dict.fromkeys(with_readers(ledger, targets), asked))
        selection = replace(selection, plan=part(plan, selection.plan.stages))
        _refuse_more(before, plan)
        _tell_of_others(plan, selection.plan)
        raise typer.Exit(
            run_and_show(
                plan,
                selection.plan,
                None,
                options,
                lambda: reversed(set_back(ledger, targets, asked)),
                as_json=as_json,
            )
        )
    if failed and not selection.targets:
        owed = len(chosen.owed)
        note(
            f"{saved.name}: no stage has failed"
            + (f"; without --failed {owed} owed would run" if owed else "")
        )
    raise typer.Exit(run_and_show(plan, selection.plan, None, options, as_json=as_json))


def _option(from_step: int | None) -> str:
    return "--fresh" if from_step is None else f"--from-step {from_step}"


def _targets(
    ledger: Ledger,
    plan: Plan,
    chosen: Plan,
    selection: Selection,
    from_step: int | None,
    fresh: bool,
    stage: str | None,
    confirmed: bool,
) -> dict[str, int]:
    """id → step of the selected stages that are to be set back; nothing is changed yet.

    Raises:
        SpecError: the options exclude each other, the whole sweep would be set back unasked, or no stage has
            the checkpoint.
        LedgerError: the sweep is at work.
    """
    from toolrl_cli.attempt.setting_back import START
    from toolrl_cli.errors import LedgerError, SpecError
    from toolrl_cli.planning.rewinding import check_steps
    from toolrl_cli.planning.selecting import shared_with_others
    from toolrl_cli.store.sweep_folder import SweepFolder

    if fresh and from_step is not None:
        raise SpecError("--fresh and --from-step exclude each other", "resume", "--fresh starts from step 0")
    option = _option(from_step)
    at_work = [h for h in SweepFolder(ledger.results, plan.sweep).harnesses() if h.alive()]
    if at_work:
        hint = f"`toolrl stop {plan.sweep}` first"
        raise LedgerError(f"is being worked on by {at_work[0]}", f"sweep {plan.sweep}", hint)
    targets = list(selection.targets)
    if stage not in plan.stages:  # shared stages belong to other runs as well: only by their id
        shared = shared_with_others(plan, chosen)
        for stage_id in [i for i in targets if i in shared and stage is not None]:
            note(
                f"{stage_id}: left alone; other runs have it, too (--stage with its id sets it back for all)"
            )
        targets = [i for i in targets if i not in shared]
    if from_step is not None:
        targets = [i for i in targets if plan.stages[i].spec.kind == "rl" or (stage and _trains(plan, i))]
        targets = [i for i in targets if ledger.read(plan.stages[i].spec).attempt]
        if not targets:
            raise SpecError("no selected stage has trained", option, "name one with --stage or --only")
    steps = dict.fromkeys(targets, START if from_step is None else from_step)
    check_steps(ledger, steps)
    _confirm(plan, len(targets), option, confirmed)
    return steps


def _refuse_more(before: Plan, plan: Plan) -> None:
    """Refuse to set back what cannot be made again without a training that nobody named.

    Raises:
        SpecError: a training that was done would be owed.
    """
    from toolrl_cli.errors import SpecError

    for stage_id, loss in plan.losses.items():
        if loss.owed and _trains(plan, stage_id) and not before.stages[stage_id].owed:
            what = f"needs {stage_id} trained again: {loss.what}"
            raise SpecError(what, f"stage {loss.reader}", f"--stage {stage_id} --fresh does that")


def _tell_of_others(plan: Plan, selected: Plan) -> None:
    left = sum(s.owed and s.spec.id not in selected.stages for s in plan.stages.values())
    if left:
        more = "1 other stage is" if left == 1 else f"{left} other stages are"
        note(f"{more} owed; `toolrl resume {plan.sweep}` runs {'it' if left == 1 else 'them'}")


def _trains(plan: Plan, stage_id: str) -> bool:
    from toolrl_cli.spec.stage_kind import trains

    return trains(plan.stages[stage_id].spec.kind)


def _confirm(plan: Plan, count: int, option: str, confirmed: bool) -> None:
    """Ask before a whole sweep is set back.

    Raises:
        SpecError: there is nobody to ask, or the answer is no.
    """
    from toolrl_cli.errors import SpecError

    if confirmed:
        return
    hint = "select with --only, --stage or --failed, or add --yes"
    what = f"all of {plan.sweep} ({count} stage{'' if count == 1 else 's'})"
    if not sys.stdin.isatty():
        raise SpecError(f"would set back {what}", option, hint)
    if not typer.confirm(f"Set back {what}?", err=True):
        raise SpecError("nothing was set back", option, hint)


def _allowing(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """The frozen runs with RL stages that train on imperfect gold; their ids stay."""
    return [replace(run, stages=tuple(_allowed(stage) for stage in run.stages)) for run in runs]


def _allowed(stage: StageSpec) -> StageSpec:
    if stage.kind != "rl":
        return stage
    return replace(stage, config={**stage.config, "rl": {**stage.config["rl"], "allow_imperfect_gold": True}})
