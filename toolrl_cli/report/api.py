"""Builds the report of one or several sweeps; the entry point of the command and the API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.errors import LedgerError, SpecError
from toolrl_cli.report.against import published_table
from toolrl_cli.report.arms import collect_arms
from toolrl_cli.report.comparisons.aggregates import Aggregate, aggregate
from toolrl_cli.report.comparisons.claims import load_claims
from toolrl_cli.report.comparisons.judging import ClaimResult, judge_claims
from toolrl_cli.report.comparisons.pairs import Pair, compare_rows
from toolrl_cli.report.drawing.answers import READ_BYTES
from toolrl_cli.report.drawing.bars import draw_bars
from toolrl_cli.report.drawing.curves import CurveReader
from toolrl_cli.report.drawing.figures import draw_figure, find_figure, shipped_figures
from toolrl_cli.report.drawing.plots import draw_curves, lines_of
from toolrl_cli.report.model import Table
from toolrl_cli.report.own_tables import own_tables
from toolrl_cli.report.provenance import provenance
from toolrl_cli.report.render import aggregates_text as over_tasks
from toolrl_cli.report.render import claims_text as claims
from toolrl_cli.report.render import csv_format, html, json_format, latex, markdown, terminal
from toolrl_cli.report.sources.apart import file_names
from toolrl_cli.report.sources.imported import digest_of, read_runs
from toolrl_cli.report.sources.published import load_published
from toolrl_cli.report.sources.results import Sweep
from toolrl_cli.report.sources.saved_sweeps import list_sweeps, read_sweep
from toolrl_cli.report.table_spec import TableSpec, is_file, load_table, shipped_tables
from toolrl_cli.report.tables import build_table
from toolrl_cli.report.units import known_units
from toolrl_cli.spec.identity import slugify
from toolrl_cli.spec.suggest import hint_for
from toolrl_cli.store.files import replacing
from toolrl_cli.store.roots import NOTHING_YET
from toolrl_cli.tracking.downloads import downloaded, is_wandb

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

FORMATS = ("terminal", "markdown", "latex", "csv", "json", "html")
_SUFFIXES = {"markdown": ".md", "latex": ".tex", "csv": ".csv", "json": ".json"}


@dataclass(frozen=True)
class Report:
    """Computed tables, and the data for their sweeps' curves.

    Attributes:
        tables: in the requested order.
        sweeps: the sweeps that were read; empty for published numbers alone.
        results: the results root.
        specs: the declarations of the tables, in their order; empty for published numbers alone.
        skipped: why some sweeps were left out, if none was requested by name.
        claims_file: the user's claims, which stand in every format in place of the paper's.
    """

    tables: tuple[Table, ...]
    sweeps: tuple[Sweep, ...]
    results: Path
    specs: tuple[TableSpec, ...] = ()
    skipped: tuple[str, ...] = ()
    claims_file: Path | None = None
    reader: CurveReader = field(default_factory=CurveReader, repr=False, compare=False)

    @property
    def faults(self) -> list[str]:
        """The files that could not be read so far, one line each."""
        metrics = [f"metrics of {stage} cannot be read: {why}" for stage, why in self.reader.faults.items()]
        return [
            *self.skipped,
            *metrics,
            *(f"{stage}: {why}" for stage, why in self.reader.answers.faults.items()),
        ]

    def render(self, kind: str, width: int = 100) -> str:
        """All tables in one format of `FORMATS`; `width` is used by the terminal format.

        Raises:
            SpecError: no such format.
        """
        if kind == "terminal":
            return terminal.render(self.tables, width)
        if kind == "html":
            return self._page()
        renderers = {
            "markdown": markdown.render, "latex": latex.render,
            "csv": csv_format.render, "json": json_format.render,
        }  # fmt: skip
        check_format(kind)
        return renderers[kind](self.tables)

    def _page(self) -> str:
        title = f"Report: {', '.join(s.name for s in self.sweeps) or 'published numbers'}"
        judged = self.claims() if self.sweeps else []
        arms = collect_arms(self.sweeps)
        given = (self.tables, arms, self.reader, judged, self.results, title, self.specs, self.sweeps)
        return html.render(*given)

    def to_frame(self, table: str) -> pd.DataFrame:
        """One table, a row for each cell: group, arm, column, mean, ci, n, planned, state, note.

        Args:
            table: its name.

        Returns:
            `mean` and `ci` (half-width of the 95 % t interval over at least three seeds) in the table's unit; `n` of
            `planned` seeds have a value; `state` and `note` give the reason where there is none.

        Raises:
            SpecError: there is no such table.
        """
        import pandas as pd

        found = next((t for t in self.tables if t.name == table), None)
        if found is None:
            raise SpecError(
                f"no table {table!r}", "report", hint_for(table, [t.name for t in self.tables], "tables")
            )
        rows = [
            (row.group, row.arm, head.name, cell.mean, cell.ci, cell.n, cell.planned, cell.state, cell.note)
            for row in found.rows
            for head in found.columns
            if (cell := row.cells.get(head.name)) is not None
        ]
        columns = ["group", "arm", "column", "mean", "ci", "n", "planned", "state", "note"]
        return pd.DataFrame(rows, columns=columns)

    def _repr_html_(self) -> str:
        """HTML for a notebook: each table as in the terminal, with its notes."""
        return "".join(f"<pre>{escape(terminal.render([table], 120))}</pre>" for table in self.tables)

    def show(self, console: Console) -> None:
        """Print the tables on a rich console."""
        terminal.show(self.tables, console)

    def to_json(self) -> dict[str, Any]:
        """The document of `report --json`."""
        return json_format.document(self.tables)

    def claims(self, path: Path | None = None) -> list[ClaimResult]:
        """The verdicts of these results on the claims of a user's file, the report's own, or the shipped ones.

        Raises:
            SpecError: the file cannot be used.
        """
        if any(sweep.rehearsal for sweep in self.sweeps):
            return []  # nothing can be claimed with numbers that mean nothing
        claimed = load_claims(path or self.claims_file, _arm_names(self.sweeps))
        return judge_claims(claimed, self.sweeps, self.results, self.reader.metric)

    def pairs(self, a: str, b: str) -> list[Pair]:
        """Compare two rows in every table that has both, over seeds and over items.

        Raises:
            SpecError: no table has both.
        """
        return compare_rows(self.specs, self.tables, collect_arms(self.sweeps), self.results, a, b)

    def aggregates(self) -> list[Aggregate]:
        """Each row of the tables over all models and benchmarks: means, interquartile means, chances to be better."""
        return aggregate(self.specs, self.tables) if self.specs else []

    def draw(self, *paths: Path) -> bool:
        """Draw curves of all arms as PNG, PDF or SVG, by each path's suffix; False if there is nothing to draw."""
        return draw_curves(lines_of(collect_arms(self.sweeps)), self.reader, paths)

    def draw_figures(
        self, directory: Path, names: Sequence[str] | None = None, kinds: Sequence[str] = ("png",)
    ) -> list[Path]:
        """Draw the paper's figures for which these results have at least two lines or bars.

        Args:
            names: figures such as `fig10`; None: all.
            kinds: of `png`, `pdf` and `svg`.

        Raises:
            SpecError: no such figure.
            LedgerError: the directory cannot be written.
        """
        for name in names or ():
            find_figure(name)
        written: list[Path] = []
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name in names if names is not None else shipped_figures():
                paths = [directory / f"{name}.{kind}" for kind in kinds]
                if draw_figure(name, self.sweeps, self.results, self.reader, paths):
                    written += paths
        except OSError as error:
            raise _unwritable(error, directory) from None
        return written

    def write_report(self, directory: Path, figures: Sequence[str] = ("png", "pdf", "svg")) -> list[Path]:
        """Write all tables in all formats, their provenance, curves, and the paper's figures that have results.

        Tables of one row an arm are drawn as bars, too.

        Each file is replaced at once, so that a reader never sees half of one.

        Raises:
            LedgerError: the directory cannot be written.
        """
        written = []
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for table in self.tables:
                name = slugify(table.name)
                for kind, suffix in _SUFFIXES.items():
                    single = Report((table,), self.sweeps, self.results)
                    written.append(_write(directory / f"{name}{suffix}", single.render(kind)))
                side = json.dumps(provenance(table), ensure_ascii=False, indent=1) + "\n"
                written.append(_write(directory / f"{name}.provenance.json", side))
            if self.sweeps:
                judged = self.claims()
                written.append(_write(directory / "claims.md", claims.render_markdown(judged)))
                written.append(_write(directory / "claims.json", claims.render_json(judged)))
            together = [one for one in self.aggregates() if len(one.tasks) > 1]
            for kind, suffix in _SUFFIXES.items() if together else ():
                written.append(_write(directory / f"aggregate{suffix}", over_tasks.render(together, kind)))
            written.append(_write(directory / "report.html", self.render("html")))
            for table, spec in zip(self.tables, self.specs, strict=False):
                bars = [directory / f"{slugify(table.name)}.{kind}" for kind in figures]
                written += bars if spec.rows == "arms" and figures and draw_bars(table, bars) else []
            curves = [directory / f"curves.{kind}" for kind in figures]
            written += curves if self.draw(*curves) else []
            written += self.draw_figures(directory, kinds=figures) if self.sweeps and figures else []
        except OSError as error:
            raise _unwritable(error, directory) from None
        return written


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
        load_claims(claims_file, _arm_names(read))  # its faults are told before anything is written
    return Report(built, read, results, tuple(chosen), tuple(skipped), claims_file, reader)


def _arm_names(sweeps: Sequence[Sweep]) -> set[str]:
    return {run.arm for sweep in sweeps for run in sweep.runs}


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


def check_format(kind: str) -> None:
    """Refuse an unknown format.

    Raises:
        SpecError: there is none.
    """
    if kind not in FORMATS:
        raise SpecError(f"unknown format {kind!r}", "--format", hint_for(kind, FORMATS, "formats"))


def _unwritable(error: OSError, directory: Path) -> LedgerError:
    what = f"the report cannot be written ({error.strerror or error})"
    return LedgerError(what, str(directory), "free space, or name another folder")


def _write(path: Path, text: str) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
