"""Writes a report to a folder: every table in every format, where its cells come from, the page and the figures."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from toolrl_cli.errors import LedgerError
from toolrl_cli.log import LOG
from toolrl_cli.report.drawing.bars import draw_bars
from toolrl_cli.report.drawing.figures import shipped_figures
from toolrl_cli.report.render import aggregates_text as over_tasks
from toolrl_cli.report.render import claims_text as claims
from toolrl_cli.report.render.provenance import provenance
from toolrl_cli.spec.identity import slugify
from toolrl_cli.store.files import replacing

if TYPE_CHECKING:
    from toolrl_cli.report.computed import Report

SUFFIXES = {"markdown": ".md", "latex": ".tex", "csv": ".csv", "json": ".json"}
SIDE = ".provenance.json"
FIGURES = (".png", ".pdf", ".svg")


def write_report(report: Report, directory: Path, figures: Sequence[str]) -> list[Path]:
    """Write a report; see `Report.write_report`."""
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for table in report.tables:
            name, single = slugify(table.name), replace(report, tables=(table,), specs=())
            for kind, suffix in SUFFIXES.items():
                written.append(_write(directory / f"{name}{suffix}", single.render(kind)))
            side = json.dumps(provenance(table), ensure_ascii=False, indent=1) + "\n"
            written.append(_write(directory / f"{name}{SIDE}", side))
        if report.sweeps:
            judged = report.claims()
            written.append(_write(directory / "claims.md", claims.render_markdown(judged)))
            written.append(_write(directory / "claims.json", claims.render_json(judged)))
        together = [one for one in report.aggregates() if len(one.tasks) > 1]
        for kind, suffix in SUFFIXES.items() if together else ():
            written.append(_write(directory / f"aggregate{suffix}", over_tasks.render(together, kind)))
        written.append(_write(directory / "report.html", report.render("html")))
        for table, spec in zip(report.tables, report.specs, strict=False):
            bars = [directory / f"{slugify(table.name)}.{kind}" for kind in figures]
            written += bars if spec.rows == "arms" and figures and draw_bars(table, bars) else []
        curves = [directory / f"curves.{kind}" for kind in figures]
        written += curves if report.draw(*curves) else []
        written += report.draw_figures(directory, kinds=figures) if report.sweeps and figures else []
        earlier = _of_earlier(directory, {path.name for path in written})
    except OSError as error:
        raise unwritable(error, directory) from None
    if earlier:
        more = f" and {len(earlier) - 4} more" if len(earlier) > 4 else ""
        LOG.warning(
            "%s: %s%s: of an earlier report, and not of this one", directory, ", ".join(earlier[:4]), more
        )
    return written


def _of_earlier(directory: Path, written: Collection[str]) -> list[str]:
    """Files that only a report writes, and this one did not; a table is known by its provenance."""
    names = sorted(path.name for path in directory.iterdir())
    tables = {name.removesuffix(SIDE) for name in names if name.endswith(SIDE)}
    texts, drawn = {*tables, "claims", "aggregate"}, {*tables, "curves", *shipped_figures()}
    ours = {stem + end for stem in texts for end in (*SUFFIXES.values(), SIDE)}
    ours |= {stem + end for stem in drawn for end in FIGURES}
    return [name for name in names if name in ours and name not in written]


def unwritable(error: OSError, directory: Path) -> LedgerError:
    """That a report cannot be written, and what to do."""
    what = f"the report cannot be written ({error.strerror or error})"
    return LedgerError(what, str(directory), "free space, or name another folder")


def _write(path: Path, text: str) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
