"""The computed report: its tables, and every form that they are shown in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolrl_cli.errors import SpecError
from toolrl_cli.report.arms import collect_arms
from toolrl_cli.report.comparisons.aggregates import Aggregate, aggregate
from toolrl_cli.report.comparisons.claims import load_claims
from toolrl_cli.report.comparisons.judging import ClaimResult, judge_claims
from toolrl_cli.report.comparisons.pairs import Pair, compare_rows
from toolrl_cli.report.drawing.curves import CurveReader
from toolrl_cli.report.drawing.figures import draw_figure, find_figure, shipped_figures
from toolrl_cli.report.drawing.plots import draw_curves, lines_of
from toolrl_cli.report.model import Table
from toolrl_cli.report.render import csv_format, html, json_format, latex, markdown, terminal
from toolrl_cli.report.sources.results import Sweep
from toolrl_cli.report.table_spec import TableSpec
from toolrl_cli.report.writing import unwritable, write_report
from toolrl_cli.spec.suggest import hint_for

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

FORMATS = ("terminal", "markdown", "latex", "csv", "json", "html")


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
        own = path or self.claims_file
        tables = self.specs if own else ()  # the shipped ones are about the shipped tables
        claimed = load_claims(own, arm_names(self.sweeps), tables)
        return judge_claims(claimed, self.sweeps, self.results, self.reader.metric, tables)

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
            raise unwritable(error, directory) from None
        return written

    def write_report(self, directory: Path, figures: Sequence[str] = ("png", "pdf", "svg")) -> list[Path]:
        """Write all tables in all formats, their provenance, curves, and the paper's figures that have results.

        Tables of one row an arm are drawn as bars, too.

        Each file is replaced at once, so that a reader never sees half of one. What an earlier report left in the
        folder, and this one does not have, stays there and is warned of.

        Raises:
            LedgerError: the directory cannot be written.
        """
        return write_report(self, directory, figures)


def arm_names(sweeps: Sequence[Sweep]) -> dict[str, list[str]]:
    """What an arm may be called → the rows that this may be: its row's name, another name of it, or its sweep's."""
    arms = collect_arms(sweeps)
    rows = {arm.name: [arm.name] for arm in arms}
    for arm in arms:
        for name in {*arm.aliases, *(run.arm for run in arm.runs)} - {one.name for one in arms}:
            rows.setdefault(name, []).append(arm.name)
    return rows


def check_format(kind: str) -> None:
    """Refuse an unknown format.

    Raises:
        SpecError: there is none.
    """
    if kind not in FORMATS:
        raise SpecError(f"unknown format {kind!r}", "--format", hint_for(kind, FORMATS, "formats"))
