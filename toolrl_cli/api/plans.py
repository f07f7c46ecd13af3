"""Planning a sweep: a file, a mapping, or one that was started before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.api.given import several
from toolrl_cli.errors import SpecError
from toolrl_cli.harness.launcher import LaunchPlan, Preview
from toolrl_cli.harness.launcher_settings import chosen_launcher
from toolrl_cli.planning.loading import load
from toolrl_cli.planning.outlook import Outlook, outlook
from toolrl_cli.planning.plan import Plan, PlannedStage
from toolrl_cli.planning.resuming import Choice, Confirm, Resumption, plan_resumption
from toolrl_cli.spec.planned_run import PlannedRun
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.roots import results_root
from toolrl_cli.store.sweep_folder import SweepFolder, saved_sweep

if TYPE_CHECKING:
    import pandas as pd

    from toolrl_cli.spec.sweeps.grid import Grid
    from toolrl_cli.spec.sweeps.sweep import Document

YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class SweepPlan:
    """A sweep, planned: its runs and stages, what is owed and why. It is as it was when it was looked at.

    Attributes:
        resumption: the whole sweep, the part of it that is meant, and what to set back first.
        results: the results root.
        max_parallel: most attempts at a time, or None.
        budget: GPU-hours that the sweep may take, or None.
        explain: whether every stage that was never run is compared with its nearest earlier one.
        notes: what a person should know of the sweep: rules without effect, equal arms, what a profile changed.
        document: the sweep as given; None for one that was started before.
        grid: its cells, and what its rules dropped; None for one that was started before.
    """

    resumption: Resumption = field(repr=False)
    results: Path
    max_parallel: int | None = None
    budget: float | None = None
    explain: bool = False
    notes: tuple[str, ...] = ()
    document: Document | None = field(default=None, repr=False)
    grid: Grid | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.chosen.sweep

    @property
    def whole(self) -> Plan:
        """All of the sweep."""
        return self.resumption.whole

    @property
    def chosen(self) -> Plan:
        """The part of it that is meant, where each stage stands."""
        return self.resumption.chosen

    @property
    def runs(self) -> tuple[PlannedRun, ...]:
        """The runs that are meant."""
        return self.chosen.runs

    @property
    def stages(self) -> Mapping[str, PlannedStage]:
        """id → stage with where it stands, inputs first."""
        return self.chosen.stages

    @property
    def owed(self) -> list[str]:
        """Ids of the stages that still have to run and can, inputs first."""
        return [stage.id for stage in self.chosen.owed]

    @cached_property
    def outlook(self) -> Outlook:
        """What the rest takes (time, GPU-hours, memory, disk), the limits, and what has changed since.

        Raises:
            LedgerError: the results root cannot be read.
        """
        return outlook(
            self.whole,
            self.chosen,
            self.results,
            max_parallel=self.max_parallel,
            budget=self.budget,
            explain=self.explain,
        )

    def queue(self, launcher: str) -> list[Preview]:
        """What a launcher's queue would be asked for what is owed, and what it says; nothing is submitted.

        Args:
            launcher: as in `run`.

        Raises:
            SpecError: there is no such launcher, it has no queue, or a setting is none of its own.
            LaunchError: it gives a stage one node, and the stage is planned for several.
        """
        kind, settings = chosen_launcher(launcher, self.whole.launchers)
        if kind.preview is None:
            raise SpecError(
                f"the {kind.name} launcher has no queue", "--launcher", "leave it out, or name another"
            )
        kind.check_nodes(self.chosen.owed)
        ahead = self.outlook.forecast
        expected = {i: e.seconds.expected for i, e in ahead.estimates.items() if e.seconds is not None}
        memory = {i: e.memory.expected for i, e in ahead.estimates.items() if e.memory is not None}
        asked = LaunchPlan(self.name, self.chosen.owed, self.max_parallel, settings=settings, memory=memory)
        return kind.preview(asked, expected)

    def to_json(self) -> dict[str, Any]:
        """The document of `toolrl plan --json`."""
        return self.outlook.to_json()

    def to_frame(self) -> pd.DataFrame:
        """A row for each stage, inputs first: stage, kind, status, owed, reason, runs (how many have it)."""
        import pandas as pd

        users = Counter(stage.id for run in self.runs for stage in run.stages)
        rows = [(i, s.spec.kind, s.status, s.owed, s.reason, users[i]) for i, s in self.stages.items()]
        return pd.DataFrame(rows, columns=["stage", "kind", "status", "owed", "reason", "runs"])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        counts = f"{len(self.runs)} runs, {len(self.stages)} stages, {len(self.owed)} owed"
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<p><b>{escape(self.name)}</b>: {counts}</p>{notes}{self.to_frame().to_html(index=False)}"


def plan(
    sweep: Path | str | Mapping[str, Any],
    *,
    results: Path | str | None = None,
    sets: Iterable[str] = (),
    profile: str | None = None,
    only: str | None = None,
    max_parallel: int | None = None,
    budget: float | None = None,
    explain: bool = False,
    announce: Callable[[int], None] = lambda sets: None,
    fetch: bool = False,
) -> SweepPlan:
    """Read, expand and validate a sweep, and look up what is done and what is owed. Nothing is started.

    Args:
        sweep: the file; or what would be in it as a mapping, whose relative paths begin in the working directory; or
            the name of a sweep that was started before, which is planned as it was frozen then.
        results: the results root; None for `$TOOLRL_RESULTS`, then `results/`.
        sets: `key=value`, as with `--set`.
        profile: name of a profile, such as `cpu`.
        only: pattern of runs or arms; None for all.
        max_parallel: most attempts at a time, for the estimates.
        budget: GPU-hours that the sweep may take.
        explain: also compare every stage that was never run with its nearest earlier one.
        announce: told how many sets of options are new to verl, which takes some seconds.
        fetch: released data that the sweep names and that are not there are downloaded.

    Raises:
        SpecError: anything wrong in the file, the arguments, the data or the model; or there is no such sweep.
        LedgerError: the results root cannot be read.
    """
    root, sets = results_root(results), tuple(several(sets))
    if isinstance(sweep, str) and _is_name(sweep):
        if sets or profile is not None:
            what = "was planned when it was started, and takes no sets and no profile"
            raise SpecError(what, f"sweep {sweep}", "plan its file instead")
        saved = SweepFolder(root, sweep).load()
        resumption = plan_resumption(saved, Ledger(root), Choice(only=only))
        return SweepPlan(resumption, root, max_parallel, budget, explain)
    source = sweep if isinstance(sweep, Mapping) else Path(sweep)
    loaded = load(source, root, sets, profile, announce, fetch=fetch)
    resumption = Resumption(loaded.plan, loaded.plan.selected(only))
    return SweepPlan(
        resumption, root, max_parallel, budget, explain, loaded.notes, loaded.document, loaded.grid
    )


def _is_name(sweep: str) -> bool:
    """Whether a text names a saved sweep, and no file."""
    path = Path(sweep)
    return path.name == sweep and path.suffix not in YAML and not path.is_file()


def plan_resume(
    name: str | None = None,
    *,
    results: Path | str | None = None,
    only: str | None = None,
    failed: bool = False,
    stage: str | None = None,
    from_step: int | None = None,
    fresh: bool = False,
    allow_imperfect_gold: bool = False,
    max_parallel: int | None = None,
    budget: float | None = None,
    confirm: Confirm | None = None,
) -> SweepPlan:
    """Plan to go on with a sweep, perhaps from an earlier step or anew; `run` then does it. Nothing is changed yet.

    Args:
        name: the sweep; None for the one planned last.
        results: the results root; None for `$TOOLRL_RESULTS`, then `results/`.
        only: pattern of runs or arms; None for all.
        failed: only stages whose last attempt failed, and what depends on them.
        stage: only this stage (id or pattern of ids), or this kind, and what it needs.
        from_step: training goes on from this step's checkpoint; what was made later is set aside.
        fresh: the stages start anew; what they have is set aside.
        allow_imperfect_gold: train although gold answers score below their maximum.
        max_parallel: most attempts at a time.
        budget: GPU-hours that the sweep may take.
        confirm: asked, with what that is in words, before `from_step` or `fresh` set back a whole sweep; None: that
            is refused.

    Raises:
        SpecError: there is no such sweep; nothing matches; or stages cannot be set back so.
        LedgerError: the results root cannot be read; or stages are to be set back of a sweep at work.
    """
    root = results_root(results)
    choice = Choice(only, failed, stage, from_step, fresh, allow_imperfect_gold)
    resumption = plan_resumption(saved_sweep(root, name), Ledger(root), choice, confirm)
    return SweepPlan(resumption, root, max_parallel, budget)
