"""Planning and running a sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.api.running import SILENT, Execution, Outcome, Watch, execute
from toolrl_cli.planning.loading import LoadedPlan, load
from toolrl_cli.planning.outlook import Outlook, outlook
from toolrl_cli.planning.plan import Plan, lay_out
from toolrl_cli.store.ledger import Ledger
from toolrl_cli.store.roots import results_root
from toolrl_cli.store.sweep_folder import SweepFolder

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SweepPlan:
    """A sweep file, planned: its runs and stages, what is owed and why.

    Attributes:
        loaded: the whole sweep, with its grid and what should be told of it.
        chosen: the part of it that is meant (`only`).
        results: the results root.
        max_parallel: most attempts at a time, or None.
        budget: GPU-hours that the sweep may take, or None.
        explain: whether every stage that was never run is compared with its nearest earlier one.
    """

    loaded: LoadedPlan = field(repr=False)
    chosen: Plan = field(repr=False)
    results: Path
    max_parallel: int | None = None
    budget: float | None = None
    explain: bool = False

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.chosen.sweep

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the sweep: rules without effect, equal arms, what a profile changed."""
        return self.loaded.notes

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
            self.loaded.plan,
            self.chosen,
            self.results,
            max_parallel=self.max_parallel,
            budget=self.budget,
            explain=self.explain,
        )

    def to_json(self) -> dict[str, Any]:
        """The document of `toolrl plan --json`."""
        return self.outlook.to_json()

    def to_frame(self) -> pd.DataFrame:
        """A row for each stage, inputs first: stage, kind, status, owed, reason, runs (how many have it)."""
        import pandas as pd

        users = [stage.id for run in self.chosen.runs for stage in run.stages]
        rows = [
            (i, s.spec.kind, s.status, s.owed, s.reason, users.count(i))
            for i, s in self.chosen.stages.items()
        ]
        return pd.DataFrame(rows, columns=["stage", "kind", "status", "owed", "reason", "runs"])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        runs, stages = len(self.chosen.runs), len(self.chosen.stages)
        head = f"<p><b>{self.name}</b>: {runs} runs, {stages} stages, {len(self.owed)} owed</p>"
        return head + str(self.to_frame().to_html(index=False))


def plan(
    sweep: Path | str,
    *,
    results: Path | str | None = None,
    sets: Iterable[str] = (),
    profile: str | None = None,
    only: str | None = None,
    max_parallel: int | None = None,
    budget: float | None = None,
    explain: bool = False,
    announce: Callable[[int], None] = lambda sets: None,
) -> SweepPlan:
    """Read, expand and validate a sweep file, and look up what is done and what is owed. Nothing is started.

    Args:
        sweep: the file.
        results: the results root; None for `$TOOLRL_RESULTS`, then `results/`.
        sets: `key=value`, as with `--set`.
        profile: name of a profile, such as `cpu`.
        only: pattern of runs or arms; None for all.
        max_parallel: most attempts at a time, for the estimates.
        budget: GPU-hours that the sweep may take.
        explain: also compare every stage that was never run with its nearest earlier one.
        announce: told how many sets of options are new to verl, which takes some seconds.

    Raises:
        SpecError: anything wrong in the file, the arguments, the data or the model.
        LedgerError: the results root cannot be read.
    """
    root = results_root(results)
    loaded = load(Path(sweep), root, sets, profile, announce)
    return SweepPlan(loaded, loaded.plan.selected(only), root, max_parallel, budget, explain)


def run(
    sweep: SweepPlan | Path | str,
    *,
    results: Path | str | None = None,
    sets: Iterable[str] = (),
    profile: str | None = None,
    only: str | None = None,
    launcher: str = "local",
    max_parallel: int | None = None,
    wandb: str | None = None,
    fail_fast: bool = False,
    budget: float | None = None,
    watch: Watch = SILENT,
) -> Outcome:
    """Run what a sweep still owes: called again, only the rest runs. Writes the report.

    Args:
        sweep: a plan (whose results root, part and limits hold), or a sweep file.
        results, sets, profile, only: as in `plan`, for a file.
        launcher: where attempts run.
        max_parallel: most attempts at a time.
        wandb: online, offline or disabled; None: as the environment says.
        fail_fast: stop everything when one stage has failed for good.
        budget: GPU-hours that the sweep may take.
        watch: what is told meanwhile; nothing is printed without it.

    Raises:
        SpecError: as `plan`; or an unknown launcher, or the plan is beyond the budget or the disk.
        LaunchError: a stage needs more slots than there are, or slots cannot be locked.
        LedgerError: the results root cannot be read or written.
    """
    if not isinstance(sweep, SweepPlan):
        sweep = plan(
            sweep,
            results=results,
            sets=sets,
            profile=profile,
            only=only,
            max_parallel=max_parallel,
            budget=budget,
        )
    limits = (max_parallel or sweep.max_parallel, budget if budget is not None else sweep.budget)
    options = Execution(sweep.results, launcher, limits[0], wandb, fail_fast, limits[1])
    text = Path(sweep.loaded.document.path).read_text(encoding="utf-8")
    return execute(sweep.loaded.plan, sweep.chosen, text, options, watch=watch)


def resume(
    name: str,
    *,
    results: Path | str | None = None,
    only: str | None = None,
    launcher: str = "local",
    max_parallel: int | None = None,
    wandb: str | None = None,
    fail_fast: bool = False,
    budget: float | None = None,
    watch: Watch = SILENT,
) -> Outcome:
    """Go on with a sweep by its name, from the plan that was frozen when it was started; arguments as of `run`.

    Raises:
        SpecError: there is no such sweep, or as `run`.
        LaunchError, LedgerError: as `run`.
    """
    root = results_root(results)
    saved = SweepFolder(root, name).load()
    whole = lay_out(saved.name, saved.runs, Ledger(root), tables=saved.tables, description=saved.description)
    options = Execution(root, launcher, max_parallel, wandb, fail_fast, budget)
    return execute(whole, whole.selected(only), None, options, watch=watch)
