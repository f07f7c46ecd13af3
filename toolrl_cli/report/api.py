"""Builds the report of one or several sweeps: reads them, and chooses the tables; the entry point of all else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.report.against import published_table
from toolrl_cli.report.comparisons.claims import load_claims
from toolrl_cli.report.computed import Report, arm_names
from toolrl_cli.report.drawing.answers import READ_BYTES
from toolrl_cli.report.drawing.curves import CurveReader
from toolrl_cli.report.own_tables import own_tables
from toolrl_cli.report.sources.apart import file_names
from toolrl_cli.report.sources.imported import digest_of, read_runs
from toolrl_cli.report.sources.published import load_published
from toolrl_cli.report.sources.results import Sweep
from toolrl_cli.report.sources.saved_sweeps import list_sweeps, read_sweep
from toolrl_cli.report.table_spec import TableSpec, is_file, load_table, shipped_tables
from toolrl_cli.report.tables import build_table
from toolrl_cli.report.units import known_units
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.store.roots import NOTHING_YET
from toolrl_cli.tracking.downloads import downloaded, is_wandb

if TYPE_CHECKING:
    pass


def build_report(
    results: Path,
    sweeps: Sequence[str] = (),
    tables: Sequence[str] | None = None,
    against: str | None = None,
    published_only: bool = False,
    imports: Sequence[Path] = (),
    columns: Mapping[str, str] | None = None,
    claims_file: Path | None = None,
) -> Report:
    """Compute the tables of some sweeps.

    Args:
        results: the results root.
        sweeps: names of the sweeps; none means all sweeps.
        tables: names of shipped tables or paths of YAML files; None for those that the sweeps name, or else those
            whose benchmarks they ran.
        against: source of published numbers to compare with, such as `paper`.
        published_only: build the printed tables alone (of `against`, default `paper`) and read no results.
        imports: files of runs made elsewhere (see `imported`), and `wandb:ENTITY/PROJECT[?FILTER]` (see
            `tracking.downloads`), reported after the sweeps.
        columns: their fields that hold scores under other names → BENCHMARK/METRIC.
        claims_file: claims of the user's in place of the paper's.

    Raises:
        SpecError: an unknown sweep, table or source; or something that reads results, where only printed tables are
            asked for.
        LedgerError: a plan that cannot be read.
        TrackingError: W&B does not say what it has.
    """
    if published_only:
        asked = {"SWEEP": sweeps, "--import": imports, "--map": columns, "--claims-file": claims_file}
        for option in (name for name, value in asked.items() if value):
            raise SpecError(f"{option} reads results", "--published-only", "leave one of the two out")
        source = against or "paper"
        names = tables if tables is not None else _printed_tables(source)
        printed = tuple(published_table(load_table(name), source) for name in names)
        return Report(printed, (), results)
    specs = [load_table(name) for name in tables] if tables is not None else None
    for spec in specs or ():
        if [s.name for s in specs or ()].count(spec.name) > 1:
            raise SpecError(f"two tables are named {spec.name!r}", "--table", "rename one, or leave one out")
    published = load_published(against) if against is not None else None
    # the runs of a sweep or file that is named twice must not count twice
    local = [downloaded(path, results) if is_wandb(path) else path for path in imports]
    found = [read_sweep(results, name) for name in dict.fromkeys(sweeps)]
    skipped: list[str] = []
    if not sweeps and not imports:
        found, skipped = _read_all(results)
    files, copies = _distinct(local)
    skipped += copies
    named = file_names(files, {sweep.name for sweep in found})
    read = (*found, *(read_runs(path, columns, name) for path, name in zip(files, named, strict=True)))
    _check_rehearsals(read)
    if not read:
        raise SpecError("there are no sweeps", str(results), NOTHING_YET)
    reader = CurveReader()
    trained = {s.id for sweep in read for run in sweep.runs for s in run.training if s.kind == "rl"}
    reader.answers.room = READ_BYTES // max(1, len(trained))
    chosen = specs if specs is not None else _asked_for(read)
    skipped += [told for sweep in read for told in _unread(sweep, chosen)]
    built = tuple(build_table(spec, read, results, reader.metric, published) for spec in chosen)
    if claims_file is not None:
        load_claims(claims_file, arm_names(read), chosen)  # its faults are told before anything is written
    return Report(built, read, results, tuple(chosen), tuple(skipped), claims_file, reader)


def _distinct(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The files without those that are another's copy, and a line on each of these."""
    files: dict[str, Path] = {}
    told = []
    for path in {path.absolute(): path for path in paths}.values():
        first = files.setdefault(digest_of(path), path)
        if first is not path:
            told.append(f"import passed over: {path} is a copy of {first}")
    return list(files.values()), told


def _unread(sweep: Sweep, tables: Sequence[TableSpec]) -> list[str]:
    """Imported fields of a shipped benchmark that no table reads, each with the nearest that one does.

    Points on the way (`toolworld/overall@15`), which toolrl writes to W&B, are no results of their own.
    """
    read = {f"{c.benchmark or t.benchmark}/{c.metric or c.name}" for t in tables for c in t.columns}
    known = known_units().keys() | read
    benchmarks = {name.partition("/")[0] for name in known}
    found = {
        f"{e.benchmark}/{metric}": run.imported
        for run in sweep.runs
        if run.imported
        for e in run.evaluations
        if e.benchmark in benchmarks
        for metric in e.metrics
    }
    return [
        f"{source}: no table reads {name!r} ({hint_for(name, [*known], 'columns')})"
        for name, source in found.items()
        if name not in known and "@" not in name
    ]


def _check_rehearsals(sweeps: Sequence[Sweep]) -> None:
    """Refuse results beside numbers that mean nothing."""
    apart: dict[bool, str] = {sweep.rehearsal: sweep.name for sweep in sweeps}
    if len(apart) > 1:
        what = f"{apart[True]!r} is a rehearsal, whose numbers mean nothing: not beside those of {apart[False]!r}"
        raise SpecError(what, "report", f"report it alone: `toolrl report {apart[True]}`")


def _read_all(results: Path) -> tuple[list[Sweep], list[str]]:
    """All sweeps, and why some were left out: one that cannot be read does not hide the others."""
    read, faults = [], []
    for name in list_sweeps(results):
        try:
            read.append(read_sweep(results, name))
        except LedgerError as error:
            faults.append(error)
    if faults and not read:
        raise faults[0]
    told = [f"sweep passed over: {error}" for error in faults]
    real = [sweep for sweep in read if not sweep.rehearsal]
    if real:  # rehearsals are shown where they are asked for, or alone
        told += [
            f"sweep passed over: {s.name} is a rehearsal; `toolrl report {s.name}`"
            for s in read
            if s.rehearsal
        ]
    return real or read, told


def _printed_tables(source: str) -> list[str]:
    published = load_published(source)
    printed = {cell.table for cell in published.cells}
    return [name for name in shipped_tables() if load_table(name).published in printed]


def _asked_for(sweeps: Sequence[Sweep]) -> list[TableSpec]:
    """The tables that the sweeps name; for imports and sweeps that name none, the shipped ones of what they ran.

    Beside named tables, a shipped one is added only for benchmarks that no table reads yet.
    """
    named = {name: sweep.name for sweep in reversed(sweeps) for name in reversed(sweep.tables)}
    found = [_load_for(sweep, name) for name, sweep in reversed(named.items())]
    covered = {benchmark for spec in found for benchmark in spec.benchmarks}
    ran = {e.benchmark for s in sweeps if not s.tables for run in s.runs for e in run.evaluations}
    shipped = [spec for spec in map(load_table, shipped_tables()) if spec.rows == "arms"]
    taken = {spec.name for spec in found}
    found += [
        spec
        for spec in shipped
        if ran.issuperset(spec.benchmarks) and covered.isdisjoint(spec.benchmarks) and spec.name not in taken
    ]
    return [*found, *(spec for spec in own_tables(sweeps) if spec.benchmark not in covered)]


def _load_for(sweep: str, name: str) -> TableSpec:
    try:
        return load_table(name)
    except SpecError as error:
        where = f"sweep {sweep!r}, tables" + (f": {error.where}" if is_file(name) else "")
        raise SpecError(error.what, where, f"{error.hint}; `--table NAME` reports without it") from None
