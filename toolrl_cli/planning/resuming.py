"""What `toolrl resume` means: the part of a saved sweep to go on with, and the stages to set back first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from toolrl_cli.attempt.setting_back import START
from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.harness.reach import Reach
from toolrl_cli.log import LOG
from toolrl_cli.planning.checking import check_owners
from toolrl_cli.planning.plan import Plan, lay_out
from toolrl_cli.planning.rewinding import check_steps, set_back, with_readers
from toolrl_cli.planning.selecting import Selection, part, select, shared_with_others
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.spec.stage import StageSpec
from toolrl_cli.spec.stage_kind import trains
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.roots import command
from toolrl_cli.store.sweep_folder import SavedSweep, SweepFolder
from toolrl_cli.wording import counted

Confirm = Callable[[str], bool]
"""Asked before a whole sweep is set back, with what that is in words; whether to."""


@dataclass(frozen=True)
class Choice:
    """Which stages of a saved sweep are meant.

    Attributes:
        only: pattern of runs or arms; None for all.
        failed: only stages whose last attempt failed, and what depends on them.
        stage: only this stage, or this kind, and what it needs; None for all.
        from_step: training stages go on from this step's checkpoint, from 1 on; None: from where they are.
        fresh: they start anew.
        allow_imperfect_gold: train although gold answers score below their maximum.
    """

    only: str | None = None
    failed: bool = False
    stage: str | None = None
    from_step: int | None = None
    fresh: bool = False
    allow_imperfect_gold: bool = False

    @property
    def explicit(self) -> bool:
        """Whether less than the whole sweep was asked for."""
        return self.only is not None or self.stage is not None or self.failed

    @property
    def option(self) -> str:
        """What sets stages back, as it is written on the command line."""
        return "--fresh" if self.from_step is None else f"--from-step {self.from_step}"


@dataclass(frozen=True)
class Resumption:
    """A saved sweep, planned again.

    Attributes:
        whole: the sweep, as it will be once the stages are set back.
        chosen: the part that is meant.
        targets: id → step of the stages to set back; those that read them come with them.
        asked: what was asked for, for the record.
    """

    whole: Plan
    chosen: Plan
    targets: Mapping[str, int] = field(default_factory=dict)
    asked: str = ""

    def set_back(self, ledger: Ledger) -> list[tuple[str, str]]:
        """Set the stages back; (id, how), inputs first.

        Raises:
            SpecError: a stage has no whole checkpoint of its step.
            LedgerError: a stage is at work, or the file system refuses.
        """
        return set_back(ledger, self.targets, self.asked, alive=Reach().alive)[::-1] if self.targets else []


def plan_resumption(
    saved: SavedSweep, ledger: Ledger, choice: Choice, confirm: Confirm | None = None
) -> Resumption:
    """Plan to go on with a saved sweep. Nothing is changed yet; what is left alone, and why, is logged.

    Args:
        saved: the sweep.
        ledger: where its stages are.
        choice: which of them are meant.
        confirm: see `Confirm`; None: it is refused.

    Raises:
        SpecError: nothing matches, the choice contradicts itself, no stage has the checkpoint, the whole sweep would
            be set back unconfirmed, a training that nobody named would have to be made again, or a stage sets
            options of verl that are not its own.
        LedgerError: the results root cannot be read, or stages are to be set back of a sweep at work.
    """
    runs = _allowing(saved.runs) if choice.allow_imperfect_gold else saved.runs

    def planned(gone_back: Mapping[str, str] | None = None) -> Plan:
        return lay_out(
            saved.name,
            runs,
            ledger,
            tables=saved.tables,
            description=saved.description,
            tracking=saved.tracking,
            launchers=saved.launchers,
            set_back=gone_back,
        )

    before = planned()
    part_of = before.selected(choice.only)
    selection = select(part_of, stage=choice.stage, failed=choice.failed)
    if not choice.fresh and choice.from_step is None:
        if choice.failed and not selection.targets:
            owed = len(part_of.owed)
            more = f"; without --failed {owed} owed would run" if owed else ""
            LOG.info("%s: no stage has failed%s", saved.name, more)
        check_owners(selection.plan)
        return Resumption(before, selection.plan)
    targets = _targets(ledger, before, part_of, selection, choice, confirm)
    asked = f"resume {choice.option}"
    # everything that may refuse looks at the plan as it will be; only then is a stage set back
    whole = planned(dict.fromkeys(with_readers(ledger, targets), asked))
    chosen = part(whole, selection.plan.stages)
    _refuse_more(before, whole)
    check_owners(chosen)
    left = sum(s.owed and s.spec.id not in chosen.stages for s in whole.stages.values())
    if left:
        more, them = ("1 other stage is", "it") if left == 1 else (f"{left} other stages are", "them")
        LOG.info("%s owed; `%s` runs %s", more, command("resume", saved.name, results=ledger.results), them)
    return Resumption(whole, chosen, targets, asked)


def _targets(
    ledger: Ledger,
    plan: Plan,
    part_of: Plan,
    selection: Selection,
    choice: Choice,
    confirm: Confirm | None,
) -> dict[str, int]:
    """id → step of the selected stages that are to be set back."""
    from_step, option = choice.from_step, choice.option
    if choice.fresh and from_step is not None:
        raise SpecError("--fresh and --from-step exclude each other", "resume", "--fresh starts from step 0")
    if from_step is not None and from_step < 1:
        raise SpecError(f"{from_step} is no step to go on from", option, "--fresh starts anew")
    at_work = [h for h in SweepFolder(ledger.results, plan.sweep).harnesses() if h.alive()]
    if at_work:
        hint = f"`{command('stop', plan.sweep, results=ledger.results)}` first"
        raise LedgerError(f"is being worked on by {at_work[0]}", f"sweep {plan.sweep}", hint)
    targets = list(selection.targets)
    if choice.stage not in plan.stages:  # shared stages belong to other runs as well: only by their id
        shared = shared_with_others(plan, part_of)
        for stage_id in targets if choice.stage is not None else ():
            if stage_id in shared:
                why = "other runs have it, too (--stage with its id sets it back for all)"
                LOG.info("%s: left alone; %s", stage_id, why)
        targets = [i for i in targets if i not in shared]
    if from_step is not None:
        targets = [i for i in targets if _goes_back(plan.stages[i].spec.kind, choice)]
        targets = [i for i in targets if ledger.read(plan.stages[i].spec).attempt]
        if not targets:
            raise SpecError("no selected stage has trained", option, "name one with --stage or --only")
    steps = dict.fromkeys(targets, START if from_step is None else from_step)
    check_steps(ledger, steps)
    if not choice.explicit:
        _confirm(f"all of {plan.sweep} ({counted(len(targets), 'stage')})", option, confirm)
    return steps


def _goes_back(kind: str, choice: Choice) -> bool:
    """Whether a stage of this kind goes back to a step: RL; another training only where stages are named."""
    return kind == "rl" or (choice.stage is not None and trains(kind))


def _confirm(what: str, option: str, confirm: Confirm | None) -> None:
    hint = "select with --only, --stage or --failed, or add --yes"
    if confirm is None:
        raise SpecError(f"would set back {what}", option, hint)
    if not confirm(what):
        raise SpecError("nothing was set back", option, hint)


def _refuse_more(before: Plan, plan: Plan) -> None:
    """Refuse to set back what cannot be made again without a training that nobody named."""
    for stage_id, loss in plan.losses.items():
        if loss.owed and trains(plan.stages[stage_id].spec.kind) and not before.stages[stage_id].owed:
            what = f"needs {stage_id} trained again: {loss.what}"
            raise SpecError(what, f"stage {loss.reader}", f"--stage {stage_id} --fresh does that")


def _allowing(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """The frozen runs with RL stages that train on imperfect gold; their ids stay."""
    return [replace(run, stages=tuple(_allowed(stage) for stage in run.stages)) for run in runs]


def _allowed(stage: StageSpec) -> StageSpec:
    if stage.kind != "rl":
        return stage
    return replace(stage, config={**stage.config, "rl": {**stage.config["rl"], "allow_imperfect_gold": True}})
