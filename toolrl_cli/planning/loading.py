"""From a sweep file, or a sweep's name, to its plan: what several commands begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolrl_cli.planning.plan import Plan
    from toolrl_cli.spec.sweeps.grid import Cell, Grid
    from toolrl_cli.spec.sweeps.reading.source import Source
    from toolrl_cli.spec.sweeps.resolve import Resolved
    from toolrl_cli.spec.sweeps.sweep import Document


@dataclass(frozen=True)
class LoadedPlan:
    """A sweep, planned.

    Attributes:
        plan: its stages and where they stand.
        document: the sweep file, with the profile's changes to it.
        grid: the cells, and what the file's rules dropped.
        notes: lines that a person should see: rules without effect, what a profile changed.
    """

    plan: Plan
    document: Document
    grid: Grid
    notes: tuple[str, ...] = ()


def load_plan(
    file: Path, results: Path, sets: Iterable[str] = (), profile: str | None = None
) -> tuple[Plan, Document]:
    """The plan and the document of `load`."""
    loaded = load(file, results, sets, profile)
    return loaded.plan, loaded.document


def launcher_sections(sweep: Path, results: Path) -> Mapping[str, Mapping[str, Any]]:
    """What a sweep says of its launchers, without expanding it.

    Args:
        sweep: a file, or the name of one that was started.
        results: the results root.

    Raises:
        SpecError: there is no such sweep, it cannot be read, or says what no launcher reads.
        LedgerError: its plan cannot be read.
    """
    from toolrl_cli.harness.launcher_settings import check_sections
    from toolrl_cli.spec.sweeps.sweep import document_of, sweep_source
    from toolrl_cli.store.sweep_folder import SweepFolder, saved_names

    if not sweep.is_file() and str(sweep) in saved_names(results):
        return SweepFolder(results, str(sweep)).load().launchers
    path, source = sweep_source(sweep)
    document = document_of(source, path, ())
    check_sections(document.sweep.launchers, document.source.where)
    return document.sweep.launchers


def load(
    file: Path | Mapping[str, Any],
    results: Path,
    sets: Iterable[str] = (),
    profile: str | None = None,
    announce: Callable[[int], None] = lambda sets: None,
    *,
    fetch: bool = False,
) -> LoadedPlan:
    """Read, expand and validate a sweep, look up where its stages stand, and check what is owed against verl.

    Args:
        fetch: released data that are not there are downloaded.

    Raises:
        SpecError: anything wrong in the file, the options, the data or the model.
        LedgerError: the results root cannot be read.
    """
    from toolrl_cli.errors import SpecError
    from toolrl_cli.harness.launcher_settings import check_sections
    from toolrl_cli.planning.checking import (
        check_owed,
        data_warnings,
        inert_ranges,
        lost_points,
        twin_warnings,
        unreached_warnings,
        unread_options,
    )
    from toolrl_cli.planning.fingerprints import LocalFacts
    from toolrl_cli.planning.layout import make_plan
    from toolrl_cli.planning.released_data import benchmark_data_warnings, lacking_warnings, released_data
    from toolrl_cli.planning.unfilled import unfilled_warnings
    from toolrl_cli.spec.sweeps.places import full_place_of
    from toolrl_cli.spec.sweeps.profile import load_profile
    from toolrl_cli.spec.sweeps.reading.every_fault import every_fault
    from toolrl_cli.spec.sweeps.resolve import resolve_sweep
    from toolrl_cli.spec.sweeps.sweep import document_of, sweep_source
    from toolrl_cli.store.ledger import Ledger
    from toolrl_cli.tracking.loggers.logger import check_installed
    from toolrl_cli.training.device import planned_device

    cuda = planned_device("auto") == "cuda"
    chosen = load_profile(profile, cuda=cuda) if profile is not None else None

    def read(source: Source, sets: Sequence[str]) -> tuple[Document, Resolved]:
        document = _with_tables(document_of(source, path, sets))
        if chosen is not None:
            document = chosen.document(document)
        return document, resolve_sweep(document, chosen)

    path, source = sweep_source(file)
    sets = tuple(sets)
    try:
        document, resolved = read(source, sets)
    except SpecError as error:
        raise every_fault(error, source, sets, read) from None
    check_sections(document.sweep.launchers, document.source.where)
    facts = LocalFacts(partial(released_data, results=results, fetch=fetch))
    cells = {cell.arm: cell for cell in resolved.grid.cells}
    plan = make_plan(
        document.sweep.name,
        resolved.runs,
        facts,
        Ledger(results),
        tables=tuple(document.sweep.tables),
        description=document.sweep.description,
        tracking=document.sweep.tracking.model_dump(exclude_defaults=True),
        launchers=document.sweep.launchers,
        place=lambda where, run: _place(where, cells[run.arm], document),
    )
    check_installed(document.sweep.tracking.loggers, document.source.where(("tracking", "loggers")))
    row_warnings = check_owed(plan, resolved.grid, document, results, announce)
    warnings = (
        *resolved.grid.warnings,
        *facts.notes,
        *unread_options(resolved.runs),
        *unreached_warnings(resolved.runs, lambda key, arm: full_place_of(key, cells[arm], document)),
        *twin_warnings(plan),
        *inert_ranges(resolved.runs),
        *data_warnings(plan, results),
        *lost_points(plan, results),
        *benchmark_data_warnings(plan, results, fetch=fetch),
        *lacking_warnings(plan),
        *unfilled_warnings(plan, plan.tables, Ledger(results)),
        *row_warnings,
    )
    notes = tuple(f"warning: {line}" for line in warnings)
    if isinstance(file, Path) and document.path != file:
        notes = (f"{file}: {document.path}", *notes)
    if chosen is not None:
        notes += chosen.told(resolved.grid)
    return LoadedPlan(plan, document, resolved.grid, notes)


def _place(where: str, cell: Cell, document: Document) -> str:
    """Where the sweep sets what is wrong, if that is a setting; files of the data keep their own place."""
    from toolrl_cli.spec.run.run_spec import RunSpec
    from toolrl_cli.spec.sweeps.places import full_place_of

    return full_place_of(where, cell, document) if where.split(".")[0] in RunSpec.model_fields else where


def _with_tables(document: Document) -> Document:
    """The sweep with the tables that it names checked, and files among them by paths that hold from anywhere."""
    from toolrl_cli.errors import SpecError
    from toolrl_cli.report.table_spec import anchored, is_file, load_table

    folder = document.folder_of(document.source.where(("tables",)))
    names = [anchored(name, folder) for name in document.sweep.tables]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise SpecError(f"the table {name!r} stands twice", document.source.where(("tables", position)))
        try:
            load_table(name)
        except SpecError as error:
            where = document.source.where(("tables", position))
            inner = f" ({error.where})" if is_file(name) else ""
            raise SpecError(error.what, where + inner, error.hint) from None
    return replace(document, sweep=document.sweep.model_copy(update={"tables": names}))
